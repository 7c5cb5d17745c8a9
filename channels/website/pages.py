"""The residents' pages as HTML: an alert in one language, and the index.

A page stands alone: its style is inside, it says everything without a script, and every link is relative, so that the folder
can be served from any address. The first screen is level, who, when, what to do first. There is a page in each of the site's
languages; where a message has no text in one, the page says so and shows another.

Source: mockups `alert*.html`; design.md §7 level colours; WCAG 2.2 §1.4.1, §2.2.1, §2.5.8, §3.1.2.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from channels.website import city_map
from channels.website.entry import Chain, file_name, page_name, pages, spoken_for
from channels.website.furigana import with_furigana
from channels.website.shelters import FOLDER, States, codes_of, draw, listed, with_states
from channels.website.words import LANGUAGES, clock_time, day_time, language_name, month_name, words
from config.city import City
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.draft import ENDING, Verb, verb_of
from dispatcher.model.mode import Mode
from dispatcher.model.shelter import ShelterStanding
from dispatcher.pages import Environment, Markup, Template, environment

HISTORY = b"<!--history-->"
"""Where `finished` puts what was said before: which its own message does not hold."""

EASY = "ja-x-easy"
SHOWN_ENDED = 20
HISTORY_FOLDER = "history"

_TELEPHONE = re.compile(r"[0-9+() -]{3,20}")


def alert_pages(alert: Alert[Any], city: City, mode: type[Mode]) -> tuple[tuple[str, bytes], ...]:
    """File name and bytes of a page in each language. The alert's texts bear the banner already."""
    said = [(name, info.language, info) for name, info in pages(alert.info)]
    there = {name for name, _, _ in said}
    said += [(page_name(tag), tag, spoken_for(alert.info, tag)) for tag in LANGUAGES if page_name(tag) not in there]
    order = [page_name(tag) for tag in LANGUAGES]
    said.sort(key=lambda page: order.index(page[0]) if page[0] in order else len(order))
    named = [(name, tag) for name, tag, _ in said]
    return tuple((name, _alert_page(alert, info, tag, name, named, city, mode)) for name, tag, info in said)


def finished(page: bytes, chain: Chain, language: str, city: City, states: States, now: datetime) -> bytes:
    """A message's page with what its message does not hold: what was said before, newest first, and the shelters' states."""
    log = b""
    if len(chain.entries) > 1:
        log = (
            _template("history.html")
            .render(
                entries=[(e, e.in_language(language)) for e in reversed(chain.entries)],
                newest=chain.newest,
                w=words(language),
                language=language,
                day_time=lambda moment: day_time(moment, language),
                file_name=file_name,
            )
            .encode()
        )

    def state(standing: ShelterStanding, is_old: bool) -> str:  # noqa: FBT001 - a template's macro takes what it is given
        module: Any = _template("state.html").module
        return str(module.state(standing, is_old, words(language), lambda moment: day_time(moment, language)))

    whole = with_states(page, states, now, state).replace(HISTORY, log)
    return with_furigana(whole, city) if language == EASY else whole


def index_page(
    language: str, found: Sequence[Chain], city: City, mode: type[Mode], states: States, now: datetime
) -> bytes:
    """The index in one language: what holds now, the worst level first, then where to go, then what has ended."""

    def shown(chain: Chain) -> dict[str, Any]:
        said = chain.newest.in_language(language)
        return {
            "chain": chain,
            "entry": chain.newest,
            "said": said,
            "w": words(said.language),
            "href": f"{chain.folder}/{page_name(language)}",
        }

    active = [c for c in found if c.newest.is_active(now)]
    active.sort(key=lambda c: -(c.newest.in_language(language).level or 0))
    ended = [c for c in found if not c.newest.is_active(now)][:SHOWN_ENDED]
    return _page(
        "index.html",
        language,
        city,
        mode,
        "",
        active=[shown(c) for c in active],
        ended=[shown(c) for c in ended],
        enterable=listed(city, states, now).enterable,
        newest_month=max((c.month for c in found), default=None),
        ENDING=ENDING,
    )


def month_pages(month: str, by_month: Mapping[str, Sequence[Chain]], city: City, mode: type[Mode]) -> dict[str, bytes]:
    """Everything that began in one month, the newest first, in each language; by its name in the folder."""
    order = list(by_month)
    at = order.index(month)
    pages = {}
    for language in LANGUAGES:
        page = page_name(language)
        pages[f"{HISTORY_FOLDER}/{month}/{page}"] = _page(
            "month.html",
            language,
            city,
            mode,
            "../../",
            month_name=month_name(month, language),
            messages=[(c.newest, c.newest.in_language(language), f"../../{c.folder}/{page}") for c in by_month[month]],
            before=order[at - 1] if at else None,
            after=order[at + 1] if at + 1 < len(order) else None,
        )
    return pages


def shelters_page(language: str, city: City, mode: type[Mode], states: States, now: datetime) -> tuple[str, bytes]:
    """Its name in the folder, and every shelter with its state in one language."""
    found = listed(city, states, now)
    page = _page("shelters.html", language, city, mode, "../", listed=found, map=draw(city, states))
    return f"{FOLDER}/{page_name(language)}", page


def _page(template: str, language: str, city: City, mode: type[Mode], root: str, **shown: Any) -> bytes:
    named = [(page_name(tag), tag) for tag in LANGUAGES]
    frame = _frame(language, page_name(language), named, city, mode, root)
    page = _template(template).render(**frame, **shown).encode()
    return with_furigana(page, city) if language == EASY else page


def _alert_page(
    alert: Alert[Any],
    info: Info,
    language: str,
    name: str,
    named: Sequence[tuple[str, str]],
    city: City,
    mode: type[Mode],
) -> bytes:
    verb = verb_of(alert)
    is_other = info.language != language
    next_update = info.added(Added.NEXT_UPDATE)
    return (
        _template("alert.html")
        .render(
            **_frame(language, name, named, city, mode, "../../"),
            info=info,
            # Words of the message where they are in another language than the page's own.
            other=Markup(' lang="{}"').format(info.language) if is_other else "",
            not_in=words(language)["not_in"] if is_other else "",
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
        "index": page_name(language),  # the same name in every folder
        "w": words(language),
        "mark": mode.banner(language),  # with the space that some languages have behind it
        "banner": mode.banner(language).strip(),
        "city": city.names.get(language) or city.names.get(language.split("-", maxsplit=1)[0]) or city.names["ja"],
        "credits": city.credits,
        "clock_time": clock_time,
        "day_time": lambda moment: day_time(moment, language),
    }


def _shelters(alert: Alert[Any], info: Info, city: City) -> list[dict[str, Any]]:
    """Places to go to, as staff named them, each with the city's own name, address and codes where the gazetteer knows it."""
    names = _split(info.added(Added.SHELTERS))
    local = next((_split(i.added(Added.SHELTERS)) for i in alert.info if i.language == "ja"), names)
    found = []
    for number, name in enumerate(names):
        # The n-th place in one language is the n-th in another: they are filled from one list.
        own = local[number] if len(local) == len(names) else name
        found.append(
            {
                "name": name,
                "own": own if own != name else None,
                "address": _address(own, city),
                "codes": codes_of(own, city),
            }
        )
    return found


def _address(name: str, city: City) -> str | None:
    """Where it is, without prefecture and city."""
    codes = codes_of(name, city)
    found = {f.address for f in city.facilities if f.code in codes}
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
