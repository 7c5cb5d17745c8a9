"""Registered mail, as residents see it: ask for a link, open it, choose, leave. Opening a page changes nothing.

    /mail           whoever wants mail gives an address and what they want; the answer is the same for everybody
    /m/{token}      the page behind the link that the mail brought: register, change, stop

Nothing is kept of somebody who did not open their link, so nobody can be signed up by a stranger and a flood leaves nothing
behind. What the pages ask for is done by a channel that keeps a register.

Source: issue "Registered mail"; design.md §8 (GET never changes anything); RFC 9110 §9.2.1; WCAG 2.2 §1.3.5 (autocomplete).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from aiohttp import web

from config.city import City
from config.words import LANGUAGES, language_of
from dispatcher.clock import Clock
from dispatcher.listening import remote_of
from dispatcher.model.mode import Mode
from dispatcher.model.topic import CHOICES, Topic
from dispatcher.residents import form
from dispatcher.residents.guesses import Guesses
from dispatcher.residents.page import Pages

ASK, OPEN = "/mail", "/m/{token}"
LONGEST_TOKEN = 1_500
LONGEST_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody wants to get, beside what everybody gets."""

    quarters: tuple[str, ...]
    topics: tuple[Topic, ...] = CHOICES
    language: str = "ja"


@dataclass(frozen=True, slots=True)
class Opened:
    """Whose entry a link opens, and what they asked for or have."""

    address: str = field(repr=False)
    choice: Choice | None = field(repr=False)
    is_registered: bool


class Register(Protocol):
    """What the pages need of whoever keeps the register."""

    def is_address(self, text: str) -> bool:
        """Whether mail could go there as it is written."""
        ...

    async def invite(self, address: str, choice: Choice | None, language: str, client: str) -> None:
        """Send a link to this address; the same in words and time, known or not. Nothing is kept of it.

        Raises:
            Throttled: this client asks too often, or too many do.
        """
        ...

    async def opened(self, token: str) -> Opened | None:
        """None for a token that is wrong, altered or too old: nothing tells which."""
        ...

    async def enrol(self, token: str, choice: Choice) -> bool:
        """From now on this is what they get; durable on return. False: the token is not good."""
        ...

    async def leave(self, token: str) -> bool:
        """They get nothing any more; durable on return. False: the token is not good."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A channel that keeps a register of its own."""

    @property
    def register(self) -> Register: ...


ASKED, SAVED, LEFT = "asked", "saved", "left"
"""What people did, as it is counted: asked for a link, said what they want, left."""


def routes(
    channels: Iterable[object], city: City, mode: type[Mode], clock: Clock, done: Counter[str] | None = None
) -> list[web.AbstractRouteDef]:
    """The pages of the first channel that keeps a register; none without one. `done` counts what people did."""
    keeping = next((channel for channel in channels if isinstance(channel, Keeping)), None)
    return _Pages(keeping.register, city, mode, clock, Counter() if done is None else done).routes() if keeping else []


class _Pages:
    def __init__(self, register: Register, city: City, mode: type[Mode], clock: Clock, done: Counter[str]) -> None:
        self._register = register
        self._done = done
        self._city = city
        # All quarters one by one, all groups of them, and what else the form has.
        self._fields = 2 * len(city.quarters) + 32
        self._pages = Pages(city, mode, "registration.yaml")
        self._guesses = Guesses(clock)

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get(ASK, self._ask),
            web.post(ASK, self._asked),
            web.get(OPEN, self._open),
            web.post(OPEN, self._chose),
        ]

    async def _ask(self, request: web.Request) -> web.Response:
        language = self._pages.language(request)
        return self._form(request, "mail_ask.html", language, Choice((), CHOICES, language))

    async def _asked(self, request: web.Request) -> web.Response:
        typed = await form.read(request, self._fields)
        language = language_of(typed.get("lang", ""))
        address = typed.get("address", "").strip()[: LONGEST_ADDRESS + 1]
        is_change = typed.get("do") == "change"
        choice = self._chosen(typed)
        fixes = {} if self._register.is_address(address) else {"address": "mail_fix_address"}
        if not is_change and not choice.quarters:
            fixes["quarters"] = "mail_fix_quarters"
        if fixes:
            more = {"address": address, "fixes": fixes, "is_change": is_change}
            return self._form(request, "mail_ask.html", language, choice, 422, **more)
        await self._register.invite(address, None if is_change else choice, language, remote_of(request))
        self._done[ASKED] += 1
        return self._pages.keep("mail_done.html", language, done="sent").answer(request)

    async def _open(self, request: web.Request) -> web.Response:
        remote = remote_of(request)
        async with self._guesses.turn(remote):
            opened = await self._register.opened(_token(request))
            if opened is None:
                return self._gone(request, remote)
        language = self._pages.language(request, opened.choice.language if opened.choice else "")
        return self._entry(request, opened, language, opened.choice)

    async def _chose(self, request: web.Request) -> web.Response:
        typed = await form.read(request, self._fields)
        token, remote, language = _token(request), remote_of(request), language_of(typed.get("lang", ""))
        async with self._guesses.turn(remote):
            if typed.get("do") == "leave":
                if await self._register.leave(token):
                    self._done[LEFT] += 1
                    return self._pages.keep("mail_done.html", language, done="left").answer(request)
                return self._gone(request, remote)
            choice = self._chosen(typed)
            if choice.quarters:
                if await self._register.enrol(token, choice):
                    self._done[SAVED] += 1
                    return self._pages.keep("mail_done.html", language, done="saved").answer(request)
                return self._gone(request, remote)
            opened = await self._register.opened(token)
            if opened is None:
                return self._gone(request, remote)
        return self._entry(request, opened, language, choice, {"quarters": "mail_fix_quarters"})

    def _gone(self, request: web.Request, remote: str) -> web.Response:
        self._guesses.wrong(remote)
        return self._pages.keep("mail_done.html", self._pages.language(request), done="gone").answer(request, 404)

    def _entry(
        self,
        request: web.Request,
        opened: Opened,
        language: str,
        choice: Choice | None,
        fixes: Mapping[str, str] | None = None,
    ) -> web.Response:
        more = {"address": opened.address, "is_registered": opened.is_registered, "fixes": fixes or {}}
        chosen = choice or Choice((), CHOICES, language)
        return self._form(request, "mail_open.html", language, chosen, 422 if fixes else 200, **more)

    def _chosen(self, typed: Mapping[str, str]) -> Choice:
        groups = {group for n, group in enumerate(self._groups_in_order()) if f"g-{n}" in typed}
        quarters = tuple(
            code
            for code, quarter in self._city.quarters.items()
            if "all" in typed or f"q-{code}" in typed or quarter.group in groups
        )
        topics = tuple(topic for topic in CHOICES if f"t-{topic}" in typed)
        return Choice(quarters, topics, language_of(typed.get("language", "")))

    def _form(
        self, request: web.Request, page: str, language: str, choice: Choice, status: int = 200, **more: Any
    ) -> web.Response:
        t = self._pages.in_language(language)
        fixes = {where: t(key) for where, key in more.pop("fixes", {}).items()}
        values = {"address": "", "is_change": False, **more}
        made = self._pages.make(
            page,
            language,
            groups=self._groups(language, choice),
            is_all=len(choice.quarters) == len(self._city.quarters),
            topics=[(topic.value, topic in choice.topics) for topic in CHOICES],
            reads=choice.language,
            offered=LANGUAGES,
            fixes=fixes,
            longest=LONGEST_ADDRESS,
            **values,
        )
        return made.answer(request, status)

    def _groups_in_order(self) -> Sequence[str]:
        return tuple(dict.fromkeys(quarter.group for quarter in self._city.quarters.values()))

    def _groups(self, language: str, choice: Choice) -> Sequence[tuple[str, Sequence[tuple[str, str, bool]], bool]]:
        """Each 大字 with its quarters: code, name, whether it is chosen; and whether any is."""
        places = "ja" if language == "ja" else language if language == "ja-x-easy" else "en-US"
        groups: dict[str, list[tuple[str, str, bool]]] = {}
        for code, quarter in self._city.quarters.items():
            name = quarter.names.get(places) or quarter.names["ja"]
            groups.setdefault(quarter.group, []).append((code, name, code in choice.quarters))
        is_some = len(choice.quarters) < len(self._city.quarters)
        return [
            (self._city.group_name(group, places), quarters, is_some and any(chosen for _, _, chosen in quarters))
            for group, quarters in groups.items()
        ]


def _token(request: web.Request) -> str:
    token = request.match_info["token"]
    return token if len(token) <= LONGEST_TOKEN and re.fullmatch(r"[A-Za-z0-9_-]+", token) else ""
