"""The page for those who got no question: somebody says by name how they, or others, are.

    GET  /report[?about=other]   the form, or that nothing is being asked now and whom to call
    POST /report                 name, birth, phone, quarter, saw, where, note, and the button: a=ok | hurt | help

What is typed is matched to the roster by the safety loop or by staff; the sender never learns whether there is such a person.
A form knows itself again (`form`), so that one sent twice is one report, and one filled in anew is another.

Source: design.md §8; PFIF 1.4 (a note about somebody whom one looks for or has seen); WCAG 2.2 §3.3.1, §3.3.7.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from dispatcher.clock import Clock
from dispatcher.errors import Throttled
from dispatcher.listening import remote_of
from dispatcher.model.campaign import Answer
from dispatcher.model.report import Reported
from dispatcher.model.typed import ANSWERS, birth_date, inert, line, phone, too_long
from dispatcher.pages import Markup
from dispatcher.residents import form
from dispatcher.residents.guesses import Guesses
from dispatcher.residents.page import Pages, Said, named
from dispatcher.tracking.answering import Answering

PATH = "/report"
MEDIUM = "website"
FORM_CHARACTERS = 64
FREE, PER_S = 300, 2.0
"""Reports from one address: a shelter's desk writes for everybody in it."""


def routes(answering: Answering, pages: Pages, clock: Clock) -> Sequence[web.AbstractRouteDef]:
    """The routes of this door."""
    door = _Door(answering, pages, clock)
    return web.get(PATH, door.ask), web.post(PATH, door.take)


def reported(fields: Mapping[str, str], clock: Clock, medium: str, *, is_other: bool) -> Reported:
    """What a form says whose `fixes` are none."""
    words = {"where": line(fields.get("where", "")), "note": inert(fields.get("note", ""))}
    # Kept nowhere else, so that nobody finds out by trying names what was reported.
    secret = fields.get("form", "")[:FORM_CHARACTERS] or secrets.token_urlsafe(16)
    said = "\0".join([secret, *(f"{name}={fields[name]}" for name in sorted(fields))])
    return Reported(
        key=hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest(),
        answer=Answer(fields["a"]),
        saw=not is_other or fields.get("saw") == "yes",
        medium=medium,
        at=clock.now(),
        name=line(fields["name"]),
        birth_date=birth_date(fields.get("birth", ""), clock.now().date()) or "",
        phone=phone(fields.get("phone", "")) or "",
        quarter=fields.get("quarter", ""),
        details={"about": "other" if is_other else "self"} | {name: text for name, text in words.items() if text},
    )


def fixes(fields: Mapping[str, str], clock: Clock, t: Said, quarters: Mapping[str, Any]) -> dict[str, Markup]:
    """What has to be mended before it can be taken, by field."""
    wrong = {name: t("fix_long", limit=limit) for name, limit in too_long(fields).items()}
    if not line(fields.get("name", "")):
        wrong["name"] = t("fix_name")
    if birth_date(fields.get("birth", ""), clock.now().date()) is None:
        wrong.setdefault("birth", t("fix_birth"))
    if phone(fields.get("phone", "")) is None:
        wrong.setdefault("phone", t("fix_phone"))
    if fields.get("quarter", "") not in {"", *quarters}:
        wrong["quarter"] = t("quarter")
    if fields.get("a") not in ANSWERS:
        wrong["a"] = t("fix_state")
    return wrong


class _Door:
    def __init__(self, answering: Answering, pages: Pages, clock: Clock) -> None:
        self._answering = answering
        self._pages = pages
        self._clock = clock
        self._senders = Guesses(clock, free=FREE, forgiven_per_s=PER_S)

    async def ask(self, request: web.Request) -> web.Response:
        return await self._form(request, {}, {})

    async def take(self, request: web.Request) -> web.Response:
        fields = await form.read(request)
        if fields.keys() <= {"form"}:
            return await self.ask(request)
        t = self._pages.in_language(self._pages.language(request))
        if wrong := fixes(fields, self._clock, t, self._pages.city.quarters):
            return await self._form(request, fields, wrong)
        try:
            self._senders.wrong(remote_of(request))
        except Throttled:
            return await self._form(request, fields, {"a": t("busy")}, 429)
        said = reported(fields, self._clock, MEDIUM, is_other=_is_other(request))
        if not await self._answering.report(said):
            return self._closed(request)
        return self._pages.keep("reported.html", t.language).answer(request)

    async def _form(
        self, request: web.Request, typed: Mapping[str, str], wrong: Mapping[str, Markup], status: int = 422
    ) -> web.Response:
        question = await self._answering.asking()
        if question is None:
            return self._closed(request)
        language = self._pages.language(request)
        made = self._pages.make(
            "report.html",
            language,
            about=question.in_language(language, "ja").about,
            is_other=_is_other(request),
            form=typed.get("form", "")[:FORM_CHARACTERS] or secrets.token_urlsafe(16),
            quarters=[(q.code, named(q.names, language)) for q in self._pages.city.quarters.values()],
            typed=typed,
            fixes=wrong,
        )
        return made.answer(request, status if wrong else 200)

    def _closed(self, request: web.Request) -> web.Response:
        return self._pages.keep("closed.html", self._pages.language(request)).answer(request)


def _is_other(request: web.Request) -> bool:
    return request.query.get("about") == "other"
