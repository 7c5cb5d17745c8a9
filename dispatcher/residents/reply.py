"""The page behind a personal link: one tap is one POST is an answer, durable before anybody reads "received".

    GET  /a/{token}   the question; changes nothing (mail scanners open links), and so does a POST in which no button was pressed
    POST /a/{token}   a=ok | hurt | help, and if somebody has time, who (self, family), where, note; the answer page

Nobody signs in: who holds the link answers. A link that leads nowhere, guessed, cut off, of an event that is over, gives
one page, the same bytes after the same one look at the ledger; the first answer and its change are the same request again.

Source: design.md §8 "Answer"; mockups `answer.html`; RFC 9110 §9.2.1 (safe methods).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from aiohttp import web

from dispatcher.clock import JST, Clock
from dispatcher.listening import remote_of
from dispatcher.model.campaign import Answer, Source
from dispatcher.model.question import Kind
from dispatcher.model.typed import ANSWERS, inert, line, too_long
from dispatcher.residents import form
from dispatcher.residents.guesses import Guesses
from dispatcher.residents.page import Pages
from dispatcher.tracking.answering import Answering, Page
from dispatcher.tracking.tokens import Door

MEDIUM = "website"
CHOICES: Mapping[str, Sequence[str]] = {"who": ("self", "family"), "saw": ("yes", "no")}
WORDS: Mapping[str, Callable[[str], str]] = {"where": line, "note": inert}


def routes(answering: Answering, pages: Pages, clock: Clock) -> Sequence[web.AbstractRouteDef]:
    """The routes of this door."""
    door = _Door(answering, pages, clock)
    path = f"/{Door.ANSWER}/{{token}}"
    return web.get(path, door.ask), web.post(path, door.take)


class _Door:
    def __init__(self, answering: Answering, pages: Pages, clock: Clock) -> None:
        self._answering = answering
        self._pages = pages
        self._guesses = Guesses(clock)

    async def ask(self, request: web.Request) -> web.Response:
        remote = remote_of(request)
        async with self._guesses.turn(remote):
            page = await self._answering.look(request.match_info["token"])
            return self._question(request, page) if page else self._gone(request, remote)

    async def take(self, request: web.Request) -> web.Response:
        fields = await form.read(request)
        if fields.get("a") not in ANSWERS:
            return await self.ask(request)
        answer, token, remote = Answer(fields["a"]), request.match_info["token"], remote_of(request)
        long, more = too_long(fields), details(fields)
        async with self._guesses.turn(remote):
            if long:
                page = await self._answering.look(token)
            else:
                page = await self._answering.answer(token, answer, more, MEDIUM)
            if page is None:
                return self._gone(request, remote)
        language = self._pages.language(request, page.language)
        values = {
            "answer": str(answer),
            "kind": str(page.question.kind),
            "is_own": page.source is Source.SELF,
            "is_detailed": "more" in fields,
            "saw": more.get("saw", "no"),
        }
        if not long:
            return self._pages.keep("thanks.html", language, **values).answer(request)
        t = self._pages.in_language(language)
        fixes = {name: t("fix_long", limit=limit) for name, limit in long.items()}
        return self._pages.make("thanks.html", language, **values, typed=fields, fixes=fixes).answer(request, 422)

    def _question(self, request: web.Request, page: Page) -> web.Response:
        language = self._pages.language(request, page.language)
        question, is_own = page.question, page.source is Source.SELF
        own = "ask" if question.kind is Kind.SAFETY else "ask_watch"
        values = {
            "title": own if is_own else "ask_them",
            "about": question.in_language(language, "ja").about,
            "kind": str(question.kind),
            "is_own": is_own,
            "name": page.name,
            "until": moment(question.answer_until, language),
        }
        # What has a name on it is one person's page, and is kept nowhere.
        make = self._pages.make if page.name else self._pages.keep
        return make("ask.html", language, **values).answer(request)

    def _gone(self, request: web.Request, remote: str) -> web.Response:
        self._guesses.wrong(remote)
        return self._pages.keep("gone.html", self._pages.language(request)).answer(request, 404)


def details(fields: Mapping[str, str]) -> dict[str, str]:
    """What else was said, as Answering.answer takes it: of a choice only what may be chosen, of words what is inert."""
    chosen = {name: fields[name] for name, may_be in CHOICES.items() if fields.get(name) in may_be}
    words = {name: write(fields[name]) for name, write in WORDS.items() if name in fields}
    return chosen | {name: text for name, text in words.items() if text}


def moment(at: datetime, language: str) -> str:
    """A day and a time as this language writes them."""
    local = at.astimezone(JST)
    if language.startswith(("ja", "zh")):
        return f"{local.month}月{local.day}日 {local.hour}:{local:%M}"
    if language == "ko":
        return f"{local.month}월 {local.day}일 {local.hour}:{local:%M}"
    return f"{local.day} {local:%b} {local.hour}:{local:%M}"
