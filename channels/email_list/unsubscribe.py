"""The door behind List-Unsubscribe: a POST to the link takes its address off the list, a GET asks first.

Mail scanners open links, so opening one changes nothing. Who holds the link may leave the list; nothing else can be done with it.

Source: RFC 8058 §3.2, §5; RFC 2369 §3.2.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from html import escape

from aiohttp import web

from channels.email_list.letter import Sender
from dispatcher.errors import StorageFull

PATH = "/unsubscribe"
_WRONG = "<p>メールの中のリンクをそのまま開いてください。</p><p lang=en>This link is not valid.</p>"
_FULL = "<p>しばらくしてから もう一度 開いてください。</p><p lang=en>Please try again later.</p>"
_PAGE = """<!doctype html>
<html lang="ja"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title>
<style>body{{max-width:34rem;margin:2rem auto;padding:0 1rem;font:1.1rem/1.7 sans-serif}}
button{{font:inherit;padding:.6rem 1.2rem;min-height:48px}}</style>
<main><h1>{title}</h1>{body}</main></html>
"""


def application(
    sender: Sender, leave: Callable[[str], Awaitable[None]], now: Callable[[], datetime]
) -> web.Application:
    """`leave` makes it durable."""

    def asked(request: web.Request) -> str:
        """The address that the link is about. Raises HTTPForbidden where the key does not fit."""
        address, key = request.query.get("to", ""), request.query.get("key", "")
        if not sender.is_token(key, address, "unsubscribe", now()):
            raise web.HTTPForbidden(text=_page("リンクが正しくありません", _WRONG), content_type="text/html")
        return address

    async def ask(request: web.Request) -> web.Response:
        address = escape(asked(request))
        body = (
            f"<p>{address} への配信をやめますか。</p><p lang=en>Stop sending to {address}?</p>"
            '<form method="post"><button name="List-Unsubscribe" value="One-Click">やめる Unsubscribe</button></form>'
        )
        return web.Response(text=_page("配信をやめる", body), content_type="text/html")

    async def go(request: web.Request) -> web.Response:
        address = asked(request)
        try:
            await leave(address)
        except StorageFull:
            text = _page("いま受け付けられません", _FULL)
            raise web.HTTPServiceUnavailable(text=text, content_type="text/html") from None
        body = f"<p>{escape(address)} への配信をやめました。</p><p lang=en>Unsubscribed.</p>"
        return web.Response(text=_page("配信をやめました", body), content_type="text/html")

    app = web.Application(client_max_size=1024)
    app.router.add_get(PATH, ask)
    app.router.add_post(PATH, go)
    return app


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=title, body=body)
