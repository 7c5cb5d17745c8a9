"""What staff typed becomes a complete draft, or every problem is listed at once.

Source: design.md §2 "accept", §7 "Templates".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from config.city import City
from config.templates import FIELDS, Template, causes, fill, load_templates
from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput
from dispatcher.model.draft import ENDING, WORDS, Draft, Verb, Wording
from dispatcher.model.mode import Mode
from dispatcher.steps.approve import ISSUED

VALID_FOR = timedelta(hours=12)
NEXT_UPDATE_IN = timedelta(hours=1)
_FIELDS = ("event", "headline", "description", "instruction", "short", "shelters")
_UNITS = MappingProxyType({"min": 60, "h": 3600, "d": 86400})
SHELTERS_NAMED = 3
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
ORDERS_FROM = 4
REVIEWED = ("event", "headline", "instruction", "short")
"""From 警戒レベル 4 on: what people are told to do is nobody's free text (名張市 2017: an internal memo at the highest class)."""
TYPED = frozenset({*FIELDS, "cause", "shelters"})
"""What may be said in `words`. Place, sender, telephone number and times come from the city and the clock alone."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed. Only the template and the area are needed; the rest has a default that the preview shows.

    `words` is {language: {placeholder or field: text}}: a placeholder's value, or a whole field in staff's own words.
    """

    template: str | None = None
    areas: tuple[str, ...] = ()
    cause: str | None = None
    hazard: str | None = None
    note: str | None = None
    expires: str | None = None
    next_update: str | None = None
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    verb: Verb = Verb.ISSUE
    of: str | None = None


def accept(
    typed: Typed,
    *,
    city: City,
    mode: type[Mode],
    now: datetime,
    author: str,
    identifier: str,
    before: Draft | None = None,
) -> Draft:
    """The draft, complete in every language of its template. `before` is the draft of the alert that it follows.

    A template of the other mode is none here, one of another verb is none for this one, and at 警戒レベル 4 and 5 the order itself
    keeps its reviewed words. A 訂正, which one person may send alone, keeps template and area: another kind of message, or one for
    other people, is a 更新.

    Raises:
        InvalidInput: each thing that is missing, unknown or wrong.
    """
    findings = list(_follows(typed))
    quarters = _quarters(typed.areas, city, findings)
    template = _template(typed, before, mode, findings)
    expires = _moment(typed.expires, "expires", now, now + VALID_FOR, findings)
    next_update = _moment(typed.next_update, "next_update", now, now + NEXT_UPDATE_IN, findings)
    if typed.verb in {Verb.CORRECT, Verb.RETRACT} and not typed.note:
        findings.append(Finding("note", "何が誤りだったかを書いてください (say what was wrong)"))
    if typed.verb is Verb.CORRECT and before is not None and quarters and set(quarters) != set(before.quarters):
        said = "訂正では対象区域を変えられません。更新にして二人目の承認を受けるか、取り消してください"
        findings.append(Finding("area", f"{said} (a correction keeps its area: make it an update, or retract)"))
    findings += _unwritable(typed)
    if findings or template is None:
        raise InvalidInput(findings)
    wording = _wording(template, typed, city, quarters, next_update, findings)
    if findings:
        raise InvalidInput(findings)
    return Draft(
        identifier=identifier,
        verb=typed.verb,
        template=template.name,
        category=template.category,
        urgency=template.urgency,
        severity=template.severity,
        certainty=template.certainty,
        response_type=tuple(template.response_type),
        level=template.level,
        quarters=quarters,
        wording=wording,
        expires=expires,
        next_update=None if typed.verb in {Verb.LIFT, Verb.RETRACT} else next_update,
        note=typed.note,
        of=typed.of,
        author=author,
    )


def _follows(typed: Typed) -> Iterator[Finding]:
    """Every verb but 発表 says which alert it follows; 発表 follows none."""
    if typed.verb is Verb.ISSUE and typed.of is not None:
        yield Finding(
            "of", "発表はほかの発表に続きません。更新にしてください (a first message follows none: make it an update)"
        )
    if typed.verb is not Verb.ISSUE and typed.of is None:
        yield Finding("of", f"どの発表の{WORDS[typed.verb]}かを指定してください (say which alert it follows)")


def _unwritable(typed: Typed) -> Iterator[Finding]:
    """Characters that XML has no way to say, so that no CAP message could carry them (XML 1.0 §2.2)."""
    said = {"cause": typed.cause, "note": typed.note}
    said |= {
        f"words.{language}.{name}": text for language, words in typed.words.items() for name, text in words.items()
    }
    for where, text in said.items():
        if strange := sorted(set(_NO_XML.findall(text or ""))):
            codes = ", ".join(f"U+{ord(c):04X}" for c in strange)
            yield Finding(where, f"使えない文字 {codes} があります (control character)")


def _quarters(areas: tuple[str, ...], city: City, findings: list[Finding]) -> tuple[str, ...]:
    codes: list[str] = []
    for name in areas:
        try:
            codes += [quarter.code for quarter in city.find(name)]
        except LookupError as error:
            findings.append(Finding("area", str(error)))
    if not areas:
        findings.append(Finding("area", "対象区域がありません。町丁目か市の全域を指定してください (no area)"))
    return tuple(dict.fromkeys(codes))


def _template(typed: Typed, before: Draft | None, mode: type[Mode], findings: list[Finding]) -> Template | None:
    templates = {name: template for name, template in load_templates().items() if mode.name in template.modes}
    name = typed.template
    if name is None and before is not None:
        ready = {Verb.RETRACT: "false-alarm", Verb.LIFT: f"{before.template}-lifted"}
        name = ready.get(typed.verb, before.template)
    if name is None or name not in templates:
        findings.append(
            Finding("template", f"{name}: ありません。あるのは {', '.join(sorted(templates))} (no such template)")
        )
        return None
    template = templates[name]
    if typed.verb.value not in ({template.verb} if template.verb != Verb.ISSUE else _BEGINNING):
        findings.append(
            Finding(
                "template",
                f"{name} は{WORDS[Verb(template.verb)]}の文です。{WORDS[typed.verb]}には使えません "
                f"(this template is for {template.verb})",
            )
        )
    elif typed.verb is Verb.CORRECT and before is not None and name != before.template:
        findings.append(
            Finding(
                "template",
                f"訂正では文の種類（{before.template}）を変えられません。更新にしてください "
                "(a correction keeps its template: make it an update)",
            )
        )
    if template.level is not None and template.level >= ORDERS_FROM:
        findings += [
            Finding(
                f"words.{language}.{field}",
                f"警戒レベル{template.level} の「{field}」は審査済みの文です。書きかえられません (reviewed words stand)",
            )
            for language, said in typed.words.items()
            for field in said
            if field in REVIEWED
        ]
    return template


_BEGINNING = frozenset(Verb) - ENDING
"""Verbs that speak in the words of a 発表."""


def _moment(text: str | None, where: str, now: datetime, default: datetime, findings: list[Finding]) -> datetime:
    if text is None:
        return default.replace(microsecond=0)
    if span := re.fullmatch(r"(\d{1,4}) ?(min|h|d)", text.strip()):
        return (now + timedelta(seconds=int(span[1]) * _UNITS[span[2]])).replace(microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
        here = moment.astimezone(JST)
    except (ValueError, OverflowError):
        findings.append(Finding(where, f"{text}: 2026-09-14T15:00+09:00 か 12 h のように書いてください (not a time)"))
        return default
    if moment.tzinfo is None:
        findings.append(Finding(where, f"{text}: 時差 +09:00 を書いてください (no offset)"))
        return default
    if moment <= now:
        findings.append(Finding(where, f"{text}: もう過ぎています (already past)"))
    return here.replace(microsecond=0)


def _shelters(city: City, quarters: tuple[str, ...], hazard: str) -> Sequence[str]:
    """Sites designated for this hazard in the area; a 指定避難所 carries no hazard flag and is never said to be safe.

    The names are as the city publishes them and as they stand on the signs: in Japanese, in every language.
    """
    names = [f.name.split("（")[0] for f in city.facilities if f.quarter in quarters and hazard in f.hazards]
    return list(dict.fromkeys(names))[:SHELTERS_NAMED]


def _wording(
    template: Template,
    typed: Typed,
    city: City,
    quarters: tuple[str, ...],
    next_update: datetime,
    findings: list[Finding],
) -> dict[str, Wording]:
    hazard = (typed.hazard or next(iter(template.hazards), "flood")).replace("-", "_")
    if hazard not in causes():
        findings.append(Finding("hazard", f"{hazard}: ありません。あるのは {', '.join(causes())} (no such hazard)"))
        return {}
    names = _shelters(city, quarters, hazard)
    # One that is full or under water is taken off by staff; what they name stands.
    shelters = {
        language: typed.words.get(language, {}).get("shelters") or _COMMAS.get(language, ", ").join(names)
        for language in template.infos
    }
    values: dict[str, dict[str, str]] = {}
    for language in template.infos:
        at = f"{next_update.hour}時{next_update.minute:02d}分" if language.startswith("ja") else f"{next_update:%H:%M}"
        values[language] = {
            "place": city.say(quarters, language),
            "shelters": shelters[language] or _NONE.get(language, _NONE["en-US"]),
            "issued": ISSUED,
            "next_update": at,
            "contact": city.contact,
            "sender": city.senders.get(language, city.senders["ja"]),
            "cause": typed.cause if typed.cause and language == "ja" else causes()[hazard][language],
            "note": typed.note or "",
            **typed.words.get(language, {}),
        }
    findings += [
        Finding(f"words.{language}", f"ない言語です。あるのは {', '.join(template.infos)} (no such language)")
        for language in sorted(typed.words.keys() - set(template.infos))
    ]
    findings += [
        Finding(f"words.{language}.{name}", f"書けるのは {', '.join(sorted(TYPED))} です (not a field that is typed)")
        for language, said in typed.words.items()
        for name in said.keys() - TYPED
    ]
    filled = fill(template, values)
    return {
        language: Wording(
            **{
                name: typed.words.get(language, {}).get(name) or filled[language].get(name, "") for name in _FIELDS[:-1]
            },
            shelters=shelters[language],
        )
        for language in template.infos
    }


_COMMAS: Mapping[str, str] = MappingProxyType({"ja": "、", "ja-x-easy": "、", "zh": "、"})
_NONE: Mapping[str, str] = MappingProxyType(
    {
        "ja": "安全な親せき・知人の家",
        "ja-x-easy": "安全な 家",
        "en-US": "a safe home of family or friends",
        "zh": "安全的亲友家",
        "ko": "안전한 친척이나 지인의 집",
    }
)
