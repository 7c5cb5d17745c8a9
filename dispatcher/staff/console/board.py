"""状況板: what waits for me, what is out there and since when, how each medium stands, who was refused; and the alarm's silence.

Source: mockups `board.html`; issue "Console" 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from aiohttp import web

from dispatcher.channel import Probe
from dispatcher.staff.console.attention import WATCH, Reading, attention, silence
from dispatcher.staff.console.frame import CONSOLE, Console, fragment, render, sealed, sitting, words
from dispatcher.staff.console.live import LIVE
from dispatcher.staff.console.outline import Outline
from dispatcher.staff.console.posted import fields, is_local
from dispatcher.staff.console.words import Words
from dispatcher.staff.gates import NODE, Closed
from dispatcher.staff.rules import Act, allowed
from dispatcher.staff.sessions import Person

REFUSED_WITHIN = timedelta(hours=24)
SHOWN_REFUSED = 8
SHOWN_ALERTS = 20
"""On the board; 配信板 lists them all."""
SHOWN_BY_HAND = 5


@dataclass(frozen=True, slots=True)
class Lamp:
    """How one medium stands: its last link test, what live alerts say of it, and whether it was closed."""

    kind: str
    title: str
    state: str
    word: str
    said: str
    tested_at: datetime | None
    is_up: bool


async def show(request: web.Request) -> web.StreamResponse:
    console, who = request.app[CONSOLE], sitting(request)
    values = await _values(request, who.person)
    may = {act: not allowed(who.person.name, who.person.roles, act, console.path.mode) for act in _ACTS}
    return await render(request, "board.html", may=may, halted=console.desk.halted, **values)


_ACTS = (Act.WRITE, Act.REPORT, Act.SWITCH, Act.HALT, Act.REOPEN)


async def events(request: web.Request) -> web.StreamResponse:
    """The board's pieces as they change."""
    console, t, person = request.app[CONSOLE], words(request), sitting(request).person

    async def make() -> str:
        values = await _values(request, person)
        return fragment(console, "board_live.html", t, **values)

    return await request.app[LIVE].stream(request, ("board", person.name, t.language), make)


async def _values(request: web.Request, person: Person) -> Mapping[str, Any]:
    console, watch, t = request.app[CONSOLE], request.app[WATCH], words(request)
    reading = await watch.reading(person)
    found = reading.outlines(console, t)
    return {
        "tasks": (await attention(watch, person, t)).tasks,
        "found": found[:SHOWN_ALERTS],
        "count": len(found),
        "by_hand": await _by_hand(console, person, found[:SHOWN_BY_HAND]),
        "drafts": reading.drafts,
        "place": partial(console.path.city.say, language=t("ja", "en-US")),
        "lamps": lamps(console, reading, found, t),
        "refused": [r for r in reading.refused if r.at >= console.clock.now() - REFUSED_WITHIN][:SHOWN_REFUSED],
    }


def lamps(console: Console, reading: Reading, found: Sequence[Outline], t: Words) -> Sequence[Lamp]:
    """Every medium of this node, in the order of the site file."""
    closed = console.desk.closed
    made = []
    for kind, last in reading.lamps.items():
        troubled = [line for outline in found for line in outline.troubled if line.tally.channel == kind]
        state, word, said = _lamp(kind, last, closed, t)
        if troubled and state == "done":
            state, word, said = troubled[0].state, troubled[0].word, troubled[0].tally.last_words
        is_up = last is not None and last[1].is_up
        made.append(Lamp(kind, t(*console.titles(kind)), state, word, said, last[0] if last else None, is_up))
    return made


def _lamp(
    kind: str, last: tuple[datetime, Probe] | None, closed: Mapping[str, Closed], t: Words
) -> tuple[str, str, str]:
    gate = closed.get(kind) or closed.get(NODE)
    if gate is not None:
        return "off", t("閉じています", "closed"), f"{gate.by}：{gate.reason}"
    if last is None:
        return "wait", t("まだ試していません", "not tested yet"), ""
    if not last[1].is_up:
        return "fail", t("つながりません", "no link"), last[1].words
    return "done", t("正常", "up"), ""


async def _by_hand(
    console: Console, person: Person, found: Sequence[Outline]
) -> Sequence[tuple[Outline, Sequence[Any]]]:
    """For each live alert, the systems without a link: who did it and when, or that nobody has yet."""
    return [(outline, await console.desk.ticks(person, outline.identifier)) for outline in found]


# -- acts --------------------------------------------------------------------------------------------------------------


async def probe(request: web.Request) -> web.StreamResponse:
    """A link test of every medium; nothing reaches a resident."""
    await request.app[CONSOLE].desk.probe(sitting(request).person, ())
    return _back("/#media")


async def quiet(request: web.Request) -> web.StreamResponse:
    """Ten minutes without sound, and back to where it was pressed."""
    await silence(request.app[CONSOLE], sitting(request).person)
    went_to = (await fields(request)).get("_from", "/")
    return _back(went_to if is_local(went_to) else "/")


async def calls(request: web.Request) -> web.StreamResponse:
    """What the script asks every few seconds: how many things wait, and whether they may be heard."""
    who = sitting(request)
    now = await attention(request.app[WATCH], who.person, who.words)
    here = request.query.get("from", "/")
    html = fragment(
        request.app[CONSOLE],
        "alarm.html",
        who.words,
        seal=sealed(who),
        attention=now,
        here=here if is_local(here) else "/",
    )
    return web.json_response({"count": len(now.tasks), "sounds": now.sounds, "html": html})


async def halt(request: web.Request) -> web.StreamResponse:
    """停止中: nothing goes out, also after a restart."""
    await request.app[CONSOLE].desk.halt(sitting(request).person, (await fields(request)).get("reason", ""))
    return _back("/")


async def reopen(request: web.Request) -> web.StreamResponse:
    await request.app[CONSOLE].desk.reopen(sitting(request).person)
    return _back("/")


def _back(where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": where})


ROUTES = (
    web.get("/", show),
    web.get("/events", events),
    web.get("/calls", calls),
    web.post("/probe", probe),
    web.post("/silence", quiet),
    web.post("/halt", halt),
    web.post("/reopen", reopen),
)
