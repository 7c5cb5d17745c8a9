"""What a browser brings along: its cookie.

Source: RFC 6265bis §4.1.3 (`__Host-`), §5.6.7 (SameSite).
"""

from aiohttp import web

from dispatcher.staff.console.room import CONSOLE, Console


def cookie_name(console: Console) -> str:
    """`__Host-` binds the cookie to this very host and to https; on plain http (loopback only) browsers refuse that prefix."""
    return "__Host-todoke" if console.is_secure else "todoke-loopback"


def set_cookie(console: Console, response: web.StreamResponse, token: str) -> None:
    """Until the browser is closed; the session itself ends on the server, by its own clock."""
    response.set_cookie(
        cookie_name(console), token, path="/", secure=console.is_secure, httponly=True, samesite="Strict"
    )


def forget_cookie(console: Console, response: web.StreamResponse) -> None:
    response.del_cookie(cookie_name(console), path="/", secure=console.is_secure, httponly=True, samesite="Strict")


def token_of(request: web.Request) -> str:
    """The session's token as the browser sent it, or ""."""
    return request.cookies.get(cookie_name(request.app[CONSOLE]), "")
