"""X's API v2 as this house needs it: post, look at one's own posts, ask who one is. The only door to tweepy.

Every answer is sorted into what the channel may conclude from it, because X's answers mislead: a 503 in HTML or a time-out
does not mean that nothing was posted, and a 403 may mean that it was.

    Duplicate     X has this text already
    ReplyGone     the post to reply to is not there any more
    Unsure        the post may have been made: look before posting again
    Unlooked      reading is refused (rate, plan), posting may not be
    TemporaryFailure, PermanentFailure   nothing was posted

tweepy signs for the origin that it hard-codes. A relay or a stand-in at another address gets the same signed request, redirected
below the signature, and has to check it against that origin.

Source: docs.x.com "Create Post", "Rate limits", "Error troubleshooting"; tweepy 4.17 asynchronous/client.py; facts.md §Social.
"""

import asyncio
import html
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
from tweepy.asynchronous import AsyncClient
from tweepy.errors import BadRequest, Forbidden, HTTPException, TooManyRequests, TwitterServerError, Unauthorized
from yarl import URL

from config.secret import Secret
from dispatcher.clock import Clock
from dispatcher.errors import PermanentFailure, TemporaryFailure

SIGNED_ORIGIN = "https://api.twitter.com"
"""What tweepy 4.17 signs for and sends to."""
LONGEST_WAIT_S = 900.0
"""X's window; a reset that claims to lie further off is tried again after this."""
REFUSED_WAIT_S = 60.0
"""After a refusal that a person mends (keys, credits): often enough to notice, seldom enough not to be locked out."""


class Duplicate(Exception):  # noqa: N818 - X's answer, not an error of ours
    """X has this text already; the words are X's own."""


class ReplyGone(Exception):  # noqa: N818 - X's answer
    """The post to reply to was deleted or cannot be seen."""


class Unsure(Exception):  # noqa: N818 - says what is known
    """The request went out and no clear answer came."""


class Unlooked(Exception):  # noqa: N818 - says what is known
    """X does not let this account read now."""


@dataclass(frozen=True, slots=True)
class Keys:
    """OAuth 1.0a user context: the app's pair and the account's pair."""

    consumer_key: Secret
    consumer_secret: Secret
    access_token: Secret
    access_token_secret: Secret


@dataclass(frozen=True, slots=True)
class Seen:
    """One of the account's own posts, as X shows it."""

    id: str
    text: str
    at: datetime


class Api:
    """A session with X. `async with Api(…) as api`."""

    def __init__(self, keys: Keys, api_url: str, timeout_s: float, clock: Clock) -> None:
        self._keys = keys
        self._origin = URL(api_url)
        self._timeout_s = timeout_s
        self._clock = clock
        self._client: Any = None

    async def __aenter__(self) -> Self:
        client = AsyncClient(
            consumer_key=self._keys.consumer_key.reveal(),
            consumer_secret=self._keys.consumer_secret.reveal(),
            access_token=self._keys.access_token.reveal(),
            access_token_secret=self._keys.access_token_secret.reveal(),
            return_type=dict,
            wait_on_rate_limit=False,  # True answers a 429 with an AttributeError
        )
        client.session = aiohttp.ClientSession(
            middlewares=() if str(self._origin.origin()) == SIGNED_ORIGIN else (self._redirect,),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        )
        self._client = client
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.session.close()
        self._client = None

    async def post(self, text: str, reply_to: str | None) -> str:
        """The new post's id.

        Raises:
            Duplicate, ReplyGone, Unsure, TemporaryFailure, PermanentFailure: see above.
        """
        try:
            answer = await self._client.create_tweet(text=text, in_reply_to_tweet_id=reply_to)
            return str(answer["data"]["id"])
        except Forbidden as refusal:
            words = _words(refusal)
            if "duplicate" in words.casefold():
                raise Duplicate(words) from refusal
            if reply_to and "reply" in words.casefold():
                raise ReplyGone(words) from refusal
            raise PermanentFailure(words) from refusal
        except BadRequest as refusal:
            raise PermanentFailure(_words(refusal)) from refusal
        except (TwitterServerError, *_NO_ANSWER) as failure:
            raise self._unanswered(failure) from failure
        except HTTPException as refusal:
            raise self._refused(refusal) from refusal
        except _UNREADABLE as failure:
            raise Unsure(f"X の答えが読めません（{type(failure).__name__}）") from failure

    async def recent(self) -> list[Seen]:
        """The account's newest posts, at most 100.

        Raises:
            Unlooked: X refuses to show them now.
            TemporaryFailure: X could not be asked.
        """
        user_id = self._keys.access_token.reveal().partition("-")[0]  # an access token begins with its user's id
        try:
            answer = await self._client.get_users_tweets(
                user_id, max_results=100, tweet_fields=["created_at", "entities"], user_auth=True
            )
            return [_seen(post) for post in answer.get("data", ())]
        except (TwitterServerError, *_NO_ANSWER) as failure:
            raise TemporaryFailure(str(self._unanswered(failure))) from failure
        except HTTPException as refusal:
            raise Unlooked(_words(refusal)) from refusal
        except _UNREADABLE as failure:
            raise Unlooked(f"X の答えが読めません（{type(failure).__name__}）") from failure

    async def account(self) -> str:
        """The handle that these keys post as.

        Raises:
            TemporaryFailure: X did not say.
        """
        try:
            answer = await self._client.get_me()
            return str(answer["data"]["username"])
        except (TwitterServerError, *_NO_ANSWER) as failure:
            raise TemporaryFailure(str(self._unanswered(failure))) from failure
        except HTTPException as refusal:
            raise self._refused(refusal) from refusal
        except _UNREADABLE as failure:
            raise TemporaryFailure(f"X の答えが読めません（{type(failure).__name__}）") from failure

    async def _redirect(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.url = self._origin.join(request.url.relative())
        return await handler(request)

    def _unanswered(self, failure: Exception) -> Exception:
        if isinstance(failure, aiohttp.ClientConnectorError):
            return TemporaryFailure(f"X に接続できません: {failure.strerror or failure}")
        if isinstance(failure, TimeoutError):
            return Unsure(f"X が {self._timeout_s:g} 秒以内に答えません")
        if isinstance(failure, aiohttp.ContentTypeError):
            return Unsure(f"X: {failure.status}（JSON でない答え）")
        if isinstance(failure, HTTPException):
            return Unsure(_words(failure))
        return Unsure(f"X が途中で切れました: {str(failure) or type(failure).__name__}")

    def _refused(self, refusal: Any) -> TemporaryFailure:
        """429 with its reset; a refusal that a person mends: tried again, because the alert lives on meanwhile."""
        words = _words(refusal)
        if not isinstance(refusal, TooManyRequests):
            return TemporaryFailure(words, None if not isinstance(refusal, Unauthorized) else REFUSED_WAIT_S)
        reset = _reset(refusal.response.headers)
        if reset is None:
            return TemporaryFailure(words, REFUSED_WAIT_S)
        wait_s = reset - self._clock.now().timestamp()
        return TemporaryFailure(words, min(max(wait_s, 1.0), LONGEST_WAIT_S))


_NO_ANSWER = (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError)
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)
"""What tweepy and our own reading raise on JSON of another form than X documents."""


def _words(failure: Any) -> str:
    return "X: " + " ".join(str(failure).split())[:300]


def _reset(headers: Mapping[str, str]) -> float | None:
    """When the limit that is used up opens again, seconds since 1970: of the window, or of the day if that is used up."""
    resets = [headers.get("x-rate-limit-reset")]
    days = ("x-app-limit-24hour", "x-user-limit-24hour")
    resets += [headers.get(f"{day}-reset") for day in days if headers.get(f"{day}-remaining") == "0"]
    known = [float(r) for r in resets if r and r.isascii() and r.isdigit()]
    return max(known, default=None)


def _seen(post: Mapping[str, Any]) -> Seen:
    text = str(post["text"])
    for url in (post.get("entities") or {}).get("urls", ()):
        text = text.replace(url["url"], url["expanded_url"])
    return Seen(str(post["id"]), as_compared(html.unescape(text)), datetime.fromisoformat(str(post["created_at"])))


def as_compared(text: str) -> str:
    """A text as X gives it back: composed, no space at its ends."""
    return unicodedata.normalize("NFC", text).strip()
