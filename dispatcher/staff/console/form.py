"""The form of a message: what stands in its fields, what of it staff typed themselves, and at which field a finding belongs.

A text field is shown filled from the reviewed template, and beside it, unseen, stands what it was filled with (`_was.…`). Only
what differs was typed; the rest follows template, area and times when those change, with a script or without.

Source: issue "作成"; dispatcher/steps/accept.py says what a field may hold.
"""

import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from config.city import City
from config.templates import LANGUAGES, Template, causes, load_templates
from dispatcher.clock import JST
from dispatcher.errors import InvalidInput
from dispatcher.model.draft import Draft, Verb
from dispatcher.model.mode import Mode
from dispatcher.steps.accept import ORDERS_FROM, REVIEWED, Typed, accept
from dispatcher.steps.approve import ISSUED

TEXTS = ("headline", "description", "instruction", "short")
"""Fields of a message in one language that staff see as text."""
TIMES = ("next_update", "expires")
SHOWN_ISSUED: Mapping[str, str] = MappingProxyType({"ja": "〔発表の時刻〕", "en": "[time of issue]"})
"""What stands in a text for the time at which it will be sent."""
HAZARDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "flood": ("洪水", "flood"),
        "landslide": ("土砂災害", "landslide"),
        "storm_surge": ("高潮", "storm surge"),
        "inland_flood": ("内水氾濫", "inland flood"),
        "tsunami": ("津波", "tsunami"),
        "earthquake": ("地震", "earthquake"),
        "large_fire": ("大規模な火事", "large fire"),
        "weather": ("気象", "weather"),
        "tornado": ("竜巻", "tornado"),
        "volcano": ("火山", "volcano"),
        "other": ("その他", "other"),
    }
)
_COMMAS = re.compile(r"[、,，\n]+")
_LOCAL = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{1,2}:\d{2}(:\d{2})?")
_SHOWN_TIME = re.compile(
    r"(?:(?P<month>\d{1,2})[/月](?P<day>\d{1,2})日? ?)?(?P<hour>[01]?\d|2[0-3])[:時](?P<minute>[0-5]\d)分?"
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a person has in front of them. Texts are as typed; "" is: as the template says."""

    key: str
    """The draft's identifier, or a name of its own for what was not saved yet."""
    version: int = 0
    """Of the draft that it was opened with; 0 for a new one."""
    template: str = ""
    hazard: str = ""
    quarters: tuple[str, ...] = ()
    cause: str = ""
    shelters: str = ""
    next_update: str = ""
    expires: str = ""
    note: str = ""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    verb: Verb = Verb.ISSUE
    of: str = ""

    @property
    def is_new(self) -> bool:
        return self.version == 0

    @property
    def is_blank(self) -> bool:
        """Nothing was typed or chosen yet."""
        return self == Form(self.key, self.version, verb=self.verb, of=self.of)

    def typed(self, now: datetime) -> Typed:
        """As the desk takes it."""
        words = {language: dict(said) for language, said in self.words.items()}
        if self.shelters:
            names = [name.strip() for name in _COMMAS.split(self.shelters) if name.strip()]
            for language in LANGUAGES:
                comma = "、" if language.startswith("ja") else ", "
                words.setdefault(language, {})["shelters"] = comma.join(names)
        return Typed(
            template=self.template or None,
            areas=self.quarters,
            cause=self.cause or None,
            hazard=self.hazard or None,
            note=self.note or None,
            expires=_moment(self.expires, now),
            next_update=_moment(self.next_update, now),
            words=words,
            verb=self.verb,
            of=self.of or None,
        )

    def body(self) -> dict[str, Any]:
        """As JSON, to be kept while it is being written."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "Form":
        """As `body` wrote it."""
        return cls(**{**body, "quarters": tuple(body["quarters"]), "verb": Verb(body["verb"])})

    @classmethod
    def of_fields(cls, posted: Mapping[str, str], quarters: Sequence[str]) -> "Form":
        """As a browser sent it. A field that still says what it was filled with was not typed."""

        def own(name: str) -> str:
            value = _tidy(posted.get(name, ""))
            return "" if value == _tidy(posted.get(f"_was.{name}", "")) else value

        said = {
            language: {name: _with_mark(text) for name in TEXTS if (text := own(f"words.{language}.{name}"))}
            for language in LANGUAGES
        }
        version, verb = posted.get("_version", ""), posted.get("_verb", "")
        return cls(
            key=posted.get("_key") or new_key(),
            version=int(version) if re.fullmatch(r"\d{1,9}", version) else 0,
            template=posted.get("template", ""),
            hazard=posted.get("hazard", ""),
            quarters=tuple(dict.fromkeys(quarters)),
            cause=_tidy(posted.get("cause", "")),
            shelters=own("shelters"),
            next_update=own("next_update"),
            expires=own("expires"),
            note=_tidy(posted.get("note", "")),
            words={language: texts for language, texts in said.items() if texts},
            verb=Verb(verb) if verb in set(Verb) else Verb.ISSUE,
            of=posted.get("_of", ""),
        )

    @classmethod
    def of_draft(cls, draft: Draft, now: datetime) -> "Form":
        """As the draft was typed, from whichever door."""
        typed = draft.typed
        said = {
            language: {name: text for name, text in texts.items() if name in TEXTS}
            for language, texts in (typed.get("words") or {}).items()
        }
        shelters = ((typed.get("words") or {}).get("ja") or {}).get("shelters", "")
        return cls(
            key=draft.identifier,
            version=draft.version,
            template=draft.template,
            hazard=(typed.get("hazard") or "").replace("-", "_"),
            quarters=draft.quarters,
            cause=typed.get("cause") or "",
            shelters=shelters,
            next_update=shown_time(draft.next_update, now) if typed.get("next_update") else "",
            expires=shown_time(draft.expires, now) if typed.get("expires") else "",
            note=draft.note or "",
            words={language: texts for language, texts in said.items() if texts},
            verb=draft.verb,
            of=draft.of or "",
        )

    @classmethod
    def following(cls, before: Draft, verb: Verb, now: datetime) -> "Form":
        """更新, 訂正, 解除 of an alert: its own words to begin with; what ends it begins from the reviewed text."""
        form = replace(cls.of_draft(before, now), key=new_key(), version=0, verb=verb, of=before.identifier, note="")
        if verb is Verb.LIFT:
            return replace(
                form, template=f"{before.template}-lifted", words={}, shelters="", next_update="", expires=""
            )
        # Times that were right for the message before have moved on.
        return replace(form, next_update="", expires="")


def new_key() -> str:
    """A name for a form that is no draft yet."""
    return f"new-{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class Filled:
    """What the fields say where nobody typed anything: from the template, the area and the clock."""

    texts: Mapping[str, Mapping[str, str]]
    """Language → field → text; empty until template and area are known."""
    shelters: str
    next_update: str
    expires: str


def filled(form: Form, city: City, mode: type[Mode], now: datetime, before: Draft | None) -> Filled:
    """The reviewed text for this template, area and cause, without what was typed over it."""
    plain = replace(form, words={}, shelters="", next_update="", expires="").typed(now)
    # What is missing is said by the desk; here it only means that there is nothing to show yet.
    if form.verb in {Verb.CORRECT, Verb.RETRACT} and not plain.note:
        plain = replace(plain, note="…")
    try:
        draft = accept(plain, city=city, mode=mode, now=now, author="", identifier="", before=before)
    except InvalidInput:
        return Filled({}, "", "", "")
    return Filled(
        {
            language: {name: _shown(getattr(said, name), language) for name in TEXTS}
            for language, said in draft.wording.items()
        },
        draft.wording["ja"].shelters,
        shown_time(draft.next_update, now),
        shown_time(draft.expires, now),
    )


def offered(mode: type[Mode], verb: Verb) -> tuple[Template, ...]:
    """The templates that may be chosen here, the highest level first."""
    kind = verb.value if verb in {Verb.LIFT, Verb.RETRACT} else Verb.ISSUE.value
    found = [t for t in load_templates().values() if mode.name in t.modes and t.verb == kind]
    return tuple(sorted(found, key=lambda t: (-(t.level or 0), t.name)))


def hazards_of(template: Template | None) -> tuple[str, ...]:
    """Those that the template is for; all that there are for one that says none."""
    return tuple(template.hazards) if template is not None and template.hazards else tuple(causes())


def is_reviewed(template: Template | None, name: str) -> bool:
    """Does this field keep its reviewed words, whoever writes?"""
    return template is not None and (template.level or 0) >= ORDERS_FROM and name in REVIEWED


def place_of(where: str) -> str:
    """The id of the field that a finding belongs to: `info[ja].headline` → `w-ja-headline`; "" if it is about the whole."""
    if found := re.fullmatch(r"info\[([A-Za-z-]+)\]\.(.+)", where):
        language, name = found[1], found[2].partition("[")[0].removeprefix("todoke:")
        return f"w-{language}-{name}" if name in TEXTS else _PLACES.get(name, "")
    if found := re.fullmatch(r"words\.([A-Za-z-]+)\.(\w+)", where):
        return f"w-{found[1]}-{found[2]}" if found[2] in TEXTS else _PLACES.get(found[2], "")
    if found := re.match(r"(\w+): ", where):
        return f"pv-{found[1]}"
    return _PLACES.get(where, "")


_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "template": "template",
        "event": "template",
        "JP-ALERT-LEVEL": "template",
        "hazard": "hazard",
        "area": "area",
        "cause": "cause",
        "shelters": "shelters",
        "next_update": "next_update",
        "nextUpdate": "next_update",
        "expires": "expires",
        "note": "note",
        "correction": "note",
    }
)


def differences(mine: Form, theirs: Form, city: City) -> Iterator[tuple[str, str, str]]:
    """(field, mine, theirs) where two versions of a form say different things."""
    for name in ("template", "hazard", "cause", "shelters", "next_update", "expires", "note"):
        if getattr(mine, name) != getattr(theirs, name):
            yield name, getattr(mine, name), getattr(theirs, name)
    if set(mine.quarters) != set(theirs.quarters):
        yield "area", *(city.say(f.quarters, "ja") if f.quarters else "" for f in (mine, theirs))  # type: ignore[misc]
    for language in LANGUAGES:
        for name in TEXTS:
            ours, other = (f.words.get(language, {}).get(name, "") for f in (mine, theirs))
            if ours != other:
                yield f"{language} {name}", _shown(ours, language), _shown(other, language)


def _tidy(text: str) -> str:
    """Line ends as people mean them; nothing else of what was typed is touched."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _shown(text: str, language: str) -> str:
    return text.replace(ISSUED, SHOWN_ISSUED["ja" if language.startswith("ja") else "en"])


def _with_mark(text: str) -> str:
    for shown in SHOWN_ISSUED.values():
        text = text.replace(shown, ISSUED)
    return text


def _moment(text: str, now: datetime) -> str | None:
    """As the desk takes it: 3:30 is the next 3:30, 9/15 3:30 that day. What is neither goes on to be refused there."""
    if not text:
        return None
    found = _SHOWN_TIME.fullmatch(unicodedata.normalize("NFKC", text).strip())
    if found is None:
        return f"{text.replace(' ', 'T')}+09:00" if _LOCAL.fullmatch(text) else text
    here = now.astimezone(JST)
    try:
        moment = here.replace(hour=int(found["hour"]), minute=int(found["minute"]), second=0, microsecond=0)
        if found["day"]:
            moment = moment.replace(month=int(found["month"]), day=int(found["day"]))
            # In December, January is next year's.
            moment = moment.replace(year=here.year + 1) if moment < here - timedelta(days=180) else moment
        elif moment <= here:
            moment += timedelta(days=1)
    except ValueError:
        return text
    return moment.isoformat()


def shown_time(moment: datetime | None, now: datetime) -> str:
    """3:30 within a day, 9/15 3:30 beyond; "" for what is past or is not."""
    if moment is None or moment <= now:
        return ""
    here = moment.astimezone(JST)
    time = f"{here.hour}:{here:%M}"
    return time if moment - now < timedelta(days=1) else f"{here.month}/{here.day} {time}"
