"""The residents' pages as HTML: an alert in one language, and the index.

A page stands alone: its style is inside, nothing is fetched, no script runs, and every link is relative, so that the folder
can be served from any address. The first screen is level, who, when, what to do first.

Source: mockups `alert*.html`; design.md §7 level colours; WCAG 2.2 §1.4.1, §2.2.1, §2.5.8, §3.1.2.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from channels.website import city_map
from channels.website.entry import Chain, file_name, page_name, pages
from channels.website.words import clock_time, day_time, language_name, words
from config.city import City
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.draft import ENDING, Verb, verb_of
from dispatcher.model.mode import Mode
from dispatcher.pages import Environment, Template, environment

HISTORY = b"<!--history-->"
"""Where `with_history` puts what was said before: the one thing on a page that its own message does not hold."""

INDEX_LANGUAGES = ("ja", "ja-x-easy", "en-US")
SHOWN_ENDED = 20

_TELEPHONE = re.compile(r"[0-9+() -]{3,20}")


def alert_pages(alert: Alert[Any], city: City, mode: type[Mode]) -> tuple[tuple[str, bytes], ...]:
    """File name and bytes of a page in each language. The alert's texts bear the banner already."""
    named = pages(alert.info)
    return tuple(
        (name, _alert_page(alert, info, name, [(n, i.language) for n, i in named], city, mode)) for name, info in named
    )


def with_history(page: bytes, chain: Chain, language: str) -> bytes:
    """The page with the messages of its chain, newest first; unchanged where there is but one."""
    if len(chain.entries) == 1:
        return page.replace(HISTORY, b"")
    log = _template("history.html").render(
        entries=[(e, e.in_language(language)) for e in reversed(chain.entries)],
        newest=chain.newest,
        w=words(language),
        day_time=lambda moment: day_time(moment, language),
        file_name=file_name,
    )
    return page.replace(HISTORY, log.encode())


def index_page(
    language: str, found: Sequence[Chain], languages: Sequence[str], city: City, mode: type[Mode], now: datetime
) -> bytes:
    """The index in one language: what holds now, the worst level first, then what has ended."""

    def shown(chain: Chain) -> dict[str, Any]:
        said = chain.newest.in_language(language)
        return {"chain": chain, "entry": chain.newest, "said": said, "href": f"{chain.folder}/{said.page}"}

    active = [c for c in found if c.newest.is_active(now)]
    active.sort(key=lambda c: -(c.newest.in_language(language).level or 0))
    ended = [c for c in found if not c.newest.is_active(now)][:SHOWN_ENDED]
    return (
        _template("index.html")
        .render(
            **_frame(language, page_name(language), [(page_name(tag), tag) for tag in languages], city, mode, ""),
            active=[shown(c) for c in active],
            ended=[shown(c) for c in ended],
            ENDING=ENDING,
        )
        .encode()
    )


def _alert_page(
    alert: Alert[Any], info: Info, name: str, named: Sequence[tuple[str, str]], city: City, mode: type[Mode]
) -> bytes:
    verb = verb_of(alert)
    next_update = info.added(Added.NEXT_UPDATE)
    return (
        _template("alert.html")
        .render(
            **_frame(info.language, name, named, city, mode, "../../"),
            info=info,
            verb=verb,
            is_ended=verb in ENDING,
            note={Verb.LIFT: "lift_note", Verb.RETRACT: "retract_note", Verb.CORRECT: "correct_note"}.get(verb),
            correction=info.added(Added.CORRECTION),
            sent=alert.sent,
            expires=info.expires,
            next_update=datetime.fromisoformat(next_update) if next_update else None,
            steps=[line for line in (info.instruction or "").splitlines() if line.strip()],
            paragraphs=[line for line in (info.description or "").splitlines() if line.strip()],
            shelters=_shelters(alert, info, city),
            map=city_map.draw(city, alert.quarters, info.language),
            telephone=_telephone(info.contact),
            cap=f"../../cap/{file_name(alert.identifier)}.xml",
        )
        .encode()
    )


def _frame(
    language: str, current: str, named: Sequence[tuple[str, str]], city: City, mode: type[Mode], root: str
) -> dict[str, Any]:
    """What every page needs. `root` is the way from the page to the folder's top."""
    return {
        "language": language,
        "languages": [(name, tag, language_name(tag), name == current) for name, tag in named],
        "root": root,
        "index": page_name(language),
        "w": words(language),
        "banner": mode.banner(language).strip(),
        "city": city.names.get(language) or city.names.get(language.split("-", maxsplit=1)[0]) or city.names["ja"],
        "credits": city.credits,
        "clock_time": clock_time,
        "day_time": lambda moment: day_time(moment, language),
    }


def _shelters(alert: Alert[Any], info: Info, city: City) -> list[dict[str, str | None]]:
    """Places to go to, as staff named them, each with the city's own name and address where the gazetteer knows it."""
    names = _split(info.added(Added.SHELTERS))
    local = next((_split(i.added(Added.SHELTERS)) for i in alert.info if i.language == "ja"), names)
    found = []
    for number, name in enumerate(names):
        # The n-th place in one language is the n-th in another: they are filled from one list.
        own = local[number] if len(local) == len(names) else name
        found.append({"name": name, "own": own if own != name else None, "address": _address(own, city)})
    return found


def _address(name: str, city: City) -> str | None:
    """Where it is, without prefecture and city. The gazetteer may add which buildings: 第七中学校（校舎・体育館）."""
    found = {f.address for f in city.facilities if name in {f.name, f.name.split("（")[0]}}
    return found.pop().split(city.names["ja"])[-1] if len(found) == 1 else None


def _split(names: str | None) -> list[str]:
    return [n.strip() for n in re.split(r"、|, ", names or "") if n.strip()]


def _telephone(contact: str | None) -> str | None:
    return re.sub(r"[^0-9+]", "", contact) if contact and _TELEPHONE.fullmatch(contact) else None


@cache
def _environment() -> Environment:
    return environment(Path(__file__).with_name("templates"))


def _template(name: str) -> Template:
    return _environment().get_template(name)
