"""PFIF 1.4, out and in: what a city shares of people's safety with those who look for them, and what it hears from there.

Out goes as little as finds somebody: name, reading, quarter, and whether they were heard of. How they are, where exactly they
live, how they are reached and who said so stay here; every record expires with the campaign's key. Nobody under 閲覧制限 is ever
written, not even as somebody who is looked for.

In come reports, never people: a note that somebody was seen is matched to who was asked, by itself or by staff, like any other
report without a link (model/report.py). What this city itself said comes back unheard, so that no report confirms itself; what
others say of a record that it gave away is heard. A record whose time is over says nothing: of it the format keeps no name.

Source: PFIF 1.4 (http://zesty.ca/pfif/1.4), its fields in the order of google/personfinder's app/pfif.py, PFIF_1_4 and
PLACEHOLDER_FIELDS; 災害対策基本法 第86条の15.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

from config.city import City
from dispatcher.cap.document import Element, outline
from dispatcher.errors import Finding, InvalidInput
from dispatcher.model.campaign import Answer, Source
from dispatcher.model.report import Reported
from dispatcher.tracking.caring import Somebody

NAMESPACE = "http://zesty.ca/pfif/1.4"
KEPT = timedelta(days=30)
"""Until a record that we wrote expires."""
MOST_BYTES = 20_000_000
MOST_FINDINGS = 100
LONGEST_TEXT = 300
MEDIUM = "pfif"
STATUSES = ("information_sought", "is_note_author", "believed_alive", "believed_missing", "believed_dead")
_HEARD = {"is_note_author": Answer.OK, "believed_alive": Answer.OK, "believed_dead": Answer.HELP}
"""Statuses that say something of how somebody is; the others are somebody else's question."""
_DEAD = "亡くなったとの知らせ。確かめてください (believed dead: find out)"
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069]+")


async def written(people: AsyncIterator[Somebody], city: City, domain: str, now: datetime) -> AsyncIterator[str]:
    """The document, a person at a time. `domain`: of the city's own records, a host name that is ours alone."""
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<pfif:pfif xmlns:pfif="{NAMESPACE}">\n'
    async for one in people:
        if not one.is_restricted:
            yield "".join(_person(one, city, domain, now))
    yield "</pfif:pfif>\n"


def _person(one: Somebody, city: City, domain: str, now: datetime) -> Iterator[str]:
    record, at = f"{domain}/person.{one.id}", _utc(one.moved_at)
    quarter = city.quarters[one.quarter].names["ja"] if one.quarter in city.quarters else ""
    ours = {"author_name": city.senders["ja"], "source_date": at}
    yield "  <pfif:person>\n"
    yield from _fields(
        4,
        person_record_id=record,
        entry_date=_utc(now),
        expiry_date=_utc(now + KEPT),
        author_name=ours["author_name"],
        source_name=city.names["ja"],
        source_date=at,
        full_name=one.name,
        alternate_names=one.kana,
        home_neighborhood=quarter,
        home_city=city.names["ja"],
        home_country="JP",
    )
    yield "    <pfif:note>\n"
    yield from _fields(
        6,
        note_record_id=f"{domain}/note.{one.id}.{one.version}",
        person_record_id=record,
        entry_date=_utc(now),
        author_name=ours["author_name"],
        source_date=at,
        author_made_contact="" if one.answer is None else _said(_was_seen(one)),
        status="information_sought" if one.answer is None else "believed_alive",
        text="まだ返事がありません (not heard of yet)" if one.answer is None else "返事がありました (heard of)",
    )
    yield "    </pfif:note>\n  </pfif:person>\n"


def _was_seen(one: Somebody) -> bool:
    return any(reply.saw or reply.source is Source.SELF for reply in one.replies)


def _fields(indent: int, **values: str) -> Iterator[str]:
    """In the order of the schema; a field that is empty is left out."""
    for name, value in values.items():
        if value:
            yield f"{' ' * indent}<pfif:{name}>{escape(value, quote=False)}</pfif:{name}>\n"


def _said(what: bool) -> str:  # noqa: FBT001 - the value itself
    return "true" if what else "false"


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Read:
    """What somebody else's document says."""

    reports: tuple[Reported, ...]
    sought: int
    """People whom others look for, of whom it says nothing."""
    ours: int
    """Records that we gave away ourselves, and of which nobody else says anything."""


def read(data: bytes, city: City, domain: str, now: datetime) -> Read:
    """Somebody else's document as reports.

    Raises:
        InvalidInput: it is not PFIF 1.4, or a record lacks what every record has: everything at once.
    """
    root = outline(data, max_bytes=MOST_BYTES)
    if isinstance(root, str):
        raise InvalidInput([Finding("pfif", f"XML として読めません (not accepted as XML): {root}")])
    if (root.name, root.namespace) != ("pfif", NAMESPACE):
        raise InvalidInput(
            [Finding("pfif", f"PFIF 1.4 ではありません。根は pfif、名前空間は {NAMESPACE} (not PFIF 1.4)")]
        )
    people = {one.get("person_record_id"): one for one in root.all("person") if not _is_over(one, now)}
    notes = [(person.get("person_record_id"), note) for person in root.all("person") for note in person.all("note")]
    notes += [(note.get("person_record_id"), note) for note in root.all("note")]
    findings: list[Finding] = []
    for number, person in enumerate(root.all("person"), 1):
        name = () if _is_over(person, now) else ("full_name",)
        findings += _lacking(f"person[{number}]", person, ("person_record_id", "source_date", *name))
        if person.get("expiry_date") and _moment(person.get("expiry_date")) is None:
            findings.append(_no_moment(f"person[{number}].expiry_date"))
    reports: dict[str, Reported] = {}
    ours, heard = {record for record in people if record.startswith(f"{domain}/")}, set[str]()
    for number, (record, note) in enumerate(notes, 1):
        where = f"note[{number}]"
        lacking = _lacking(where, note, ("note_record_id", "author_name", "source_date", "text"))
        findings += lacking
        status, at = note.get("status"), _moment(note.get("source_date"))
        if status and status not in STATUSES:
            findings.append(Finding(f"{where}.status", f"{', '.join(STATUSES)} のどれか (one of these)"))
        if at is None and not lacking:
            findings.append(_no_moment(f"{where}.source_date"))
        if note.get("note_record_id").startswith(f"{domain}/"):
            continue
        if status in _HEARD and at is not None and record in people:
            report = _report(people[record], note, _HEARD[status], min(at, now), city)
            reports[report.key] = report
            heard.add(record)
    if findings:
        more = [Finding("pfif", f"ほかに {len(findings) - MOST_FINDINGS} 件 (and more)")]
        raise InvalidInput(findings[:MOST_FINDINGS] + (more if len(findings) > MOST_FINDINGS else []))
    return Read(tuple(reports.values()), len(people.keys() - ours - heard), len(ours - heard))


def _is_over(person: Element, now: datetime) -> bool:
    until = _moment(person.get("expiry_date"))
    return until is not None and until <= now


def _no_moment(where: str) -> Finding:
    return Finding(where, "2026-11-21T03:00:00Z のように書きます (as that)")


def _lacking(where: str, record: Element, needed: tuple[str, ...]) -> list[Finding]:
    return [Finding(f"{where}.{name}", "これが要ります (it is needed)") for name in needed if not record.get(name)]


def _report(person: Element, note: Element, answer: Answer, at: datetime, city: City) -> Reported:
    quarters = {quarter.names["ja"]: quarter.code for quarter in city.quarters.values()}
    born = person.get("date_of_birth")
    said = (_DEAD if note.get("status") == "believed_dead" else "", note.get("text"), note.get("author_name"))
    details = {
        # Whoever wrote it may be anybody, the person's own name or not: nobody asked them who they are.
        "about": "other",
        "where": _plain(note.get("last_known_location")),
        "note": _plain(" / ".join(filter(None, said))),
    }
    return Reported(
        key=hashlib.sha256(f"pfif\0{note.get('note_record_id')}\0{note.get('source_date')}".encode()).hexdigest(),
        answer=answer,
        saw=note.get("author_made_contact") == "true",
        medium=MEDIUM,
        at=at,
        # One to a line.
        name=_plain(person.get("full_name").partition("\n")[0])[:100],
        birth_date=born if re.fullmatch(r"\d{4}-\d{2}-\d{2}", born) else "",
        quarter=quarters.get(person.get("home_neighborhood"), ""),
        details={name: text for name, text in details.items() if text},
    )


def _plain(text: str) -> str:
    return _NO_TEXT.sub(" ", text).strip()[:LONGEST_TEXT]


def _moment(text: str) -> datetime | None:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z", text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
