"""A form with everything that the page shows of it: what it would become now, and every finding at its field.

Source: issue "作成"; mockups `compose.html`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from config.templates import Template, load_templates
from dispatcher.errors import Finding, InvalidInput
from dispatcher.model.alert import Added
from dispatcher.model.draft import Draft
from dispatcher.path import Prepared
from dispatcher.staff.by_hand import ByHand, prepare
from dispatcher.staff.console.form import TEXTS, TIMES, Filled, Form, filled, place_of
from dispatcher.staff.console.room import CONSOLE, Console, sitting
from dispatcher.staff.console.words import Words


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that the page shows of a form."""

    form: Form
    template: Template | None
    filled: Filled
    prepared: Prepared[Any] | None
    by_hand: ByHand | None
    findings: tuple[Finding, ...]

    def at(self, place: str) -> tuple[Finding, ...]:
        """The findings of one field, by its id."""
        return tuple(f for f in self.findings if place_of(f.where) == place)

    @property
    def elsewhere(self) -> tuple[Finding, ...]:
        """Those that belong to no field of the form."""
        return tuple(f for f in self.findings if not place_of(f.where))

    @property
    def blocking(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.blocks)

    @property
    def asking(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if not f.blocks)

    def text(self, language: str, name: str) -> str:
        """What stands in a text field: staff's words, else the template's."""
        own = self.form.words.get(language, {}).get(name, "")
        return own or self.filled.texts.get(language, {}).get(name, "")

    def value(self, name: str) -> str:
        """As `text`, for the fields outside the languages."""
        return str(getattr(self.form, name) or getattr(self.filled, name))

    def of_language(self, language: str) -> tuple[int, int, int]:
        """Findings that block, findings that ask, characters."""
        mine = [f for f in self.findings if place_of(f.where).startswith(f"w-{language}-")]
        count = sum(len(self.text(language, name)) for name in TEXTS)
        return sum(f.blocks for f in mine), sum(not f.blocks for f in mine), count


async def sheet_of(request: web.Request, form: Form, prepared: Prepared[Any] | None = None) -> Sheet:
    """The form with what it would become now, and everything that is wrong with it; `prepared` where that is known already."""
    console, by = request.app[CONSOLE], sitting(request).person
    now, path = console.clock.now(), console.path
    before = Draft.from_body(*await path.ledger.draft(form.of)) if form.of else None
    stands = filled(form, path.city, path.mode, now, before)
    template = load_templates().get(form.template)
    try:
        prepared = prepared or await console.desk.try_draft(by, form.typed(now))
    except InvalidInput as refused:
        return Sheet(form, template, stands, None, None, refused.findings)
    hands = prepare(prepared.alert, path.city)
    # What is too long for a form to paste stands at that form: it holds nobody up.
    return Sheet(form, template, stands, prepared, hands, prepared.findings)


def in_words(sheet: Sheet, console: Console, t: Words) -> Mapping[str, str]:
    """What the two times come to: day, time, and how far away."""
    if sheet.prepared is None:
        return dict.fromkeys(TIMES, "")
    now, info = console.clock.now(), sheet.prepared.alert.info[0]
    update = info.added(Added.NEXT_UPDATE)
    moments = {"next_update": datetime.fromisoformat(update) if update else None, "expires": info.expires}
    return {
        name: f"{t.day(at)} {t.clock(at)}　"
        + t(f"いまから{t.minutes((at - now).total_seconds())}", f"in {t.minutes((at - now).total_seconds())}")
        if at is not None
        else ""
        for name, at in moments.items()
    }
