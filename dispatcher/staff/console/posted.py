"""What a form says, and a form that was held up: nothing that a person typed is ever thrown away.

A form whose session ended meanwhile, or that was opened in an earlier one, is carried through the sign-in and shown again,
filled in (`Held`). It is sent only when somebody presses the button again; an approval never is, it is looked at anew.

A field whose name begins with _ was not typed by anybody.

Source: issue "the typed text never lost"; HTML Standard §4.10.21 (form submission).
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from dispatcher.errors import Finding, InvalidInput
from dispatcher.staff.console.room import SEAL

SENT_WITHIN_S, UPLOADED_WITHIN_S = 15.0, 180.0
"""A whole form, and one with a picture over a poor link."""
FORM_BYTES = 1_000_000
"""Of a form without a file; no message of ours comes near it."""
UPLOAD_BYTES = 12_000_000
"""Of a form with one picture (≤ 10 MB)."""
ROSTER_BYTES = 64_000_000
"""Of the form with the roster: some 400,000 people, five times as many packed with gzip."""
ROSTER = "/safety/roster"
"""Where the roster is tried and imported."""
HELD = "_held"
"""The field in which a form is carried through the sign-in."""
_APPROVAL = re.compile(r"/drafts/[^/]+/(approve|break-glass)")
_SECRET = re.compile(r"password|again|passkey|enrolment|^_?(code|old|new|answer)$")
"""Fields that are typed again: what opens a door is not carried about in a page."""


async def fields(request: web.Request) -> Mapping[str, str]:
    """What a form says, field by field; of one that is there twice the last. Files are not among them.

    Raises:
        InvalidInput: it is no form.
    """
    return {name: value for name, value in (await _posted(request)).items() if isinstance(value, str)}


async def all_of(request: web.Request, name: str) -> tuple[str, ...]:
    """Every value of a field that may be there many times (a ticked box each)."""
    return tuple(value for value in (await _posted(request)).getall(name, ()) if isinstance(value, str))


def limit_bytes(request: web.Request) -> int:
    """How large this request's form may be."""
    if request.content_type != "multipart/form-data":
        return FORM_BYTES
    return ROSTER_BYTES if request.path == f"{ROSTER}/check" else UPLOAD_BYTES


async def _posted(request: web.Request) -> Any:
    is_upload = request.content_type == "multipart/form-data"
    try:
        async with asyncio.timeout(UPLOADED_WITHIN_S if is_upload else SENT_WITHIN_S):
            return await request.post()
    except TimeoutError:
        # Whoever sends a byte a minute holds a connection as long as they like.
        raise web.HTTPRequestTimeout from None
    except (ValueError, LookupError, AssertionError, HttpProcessingError) as error:
        raise InvalidInput([Finding("form", f"読めない書式です (not a form): {type(error).__name__}")]) from None


@dataclass(frozen=True, slots=True)
class Held:
    """A form on its way through a refusal or the sign-in: where it was going, and every field in order."""

    action: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    async def of(cls, request: web.Request) -> "Held":
        """The form that this request bears, without its seal and without secrets; nothing of one with a very large file."""
        if (request.content_length or 0) > UPLOAD_BYTES:
            return cls(request.path_qs, ())
        try:
            posted = (await _posted(request)).items()
        except (InvalidInput, web.HTTPRequestEntityTooLarge, web.HTTPRequestTimeout):
            posted = ()
        kept = tuple((k, v) for k, v in posted if isinstance(v, str) and k != SEAL and not _SECRET.search(k))
        return cls(request.path_qs, kept)

    @classmethod
    def read(cls, text: str) -> "Held | None":
        """As `text` wrote it; None if it is not ours."""
        try:
            body = json.loads(text)
            action = str(body["action"])
            kept = tuple((str(name), str(value)) for name, value in body["fields"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        return cls(action, kept) if is_local(action) else None

    def text(self) -> str:
        return json.dumps({"action": self.action, "fields": self.fields}, ensure_ascii=False)

    @property
    def label(self) -> str:
        """What the pressed button said."""
        return dict(self.fields).get("_act", "")

    @property
    def typed(self) -> tuple[tuple[str, str], ...]:
        """What a person wrote; a name that is there many times comes once, with all its values."""
        names = dict.fromkeys(name for name, _ in self.fields if not name.startswith("_"))
        return tuple((n, "\n".join(v for k, v in self.fields if k == n)) for n in names)

    @property
    def page(self) -> str:
        """Where its page stands: each form goes to its own page's address or below it."""
        return self.action.partition("?")[0]

    @property
    def must_look(self) -> bool:
        """An approval is never carried over: whoever signed in now looks at the message first."""
        return _APPROVAL.fullmatch(self.page) is not None

    def is_many(self, name: str) -> bool:
        return sum(n == name for n, _ in self.fields) > 1

    @property
    def carried(self) -> tuple[tuple[str, str], ...]:
        """What goes along unseen: fields that nobody typed, and those with many values."""
        return tuple((n, v) for n, v in self.fields if n.startswith("_") or self.is_many(n))


def is_local(path: str) -> bool:
    """An address on this very site, and no way of writing another one."""
    return path.startswith("/") and not path.startswith("//") and not set(path) & set("\\\r\n\t\0")
