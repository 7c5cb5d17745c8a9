"""経過: what happened, in words; the board as it stood at any past moment; and what staff hear from the field, with pictures.

A moment is a field in a form, so it works without a script; the script lets it be drawn along a slider. A report is written once
and never changed, and can become a draft. Its picture is our own redrawing (photo.py), asked for by its hash.

Source: issue "経過"; design.md §4 "時点遡及"; mockups README.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web
from aiohttp.web_request import FileField

from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused
from dispatcher.ledger import IssuedAlert
from dispatcher.model.draft import Draft
from dispatcher.model.question import Kind
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.happened import MACHINE, happened
from dispatcher.staff.console.outline import Outline, numbers, outline
from dispatcher.staff.console.posted import fields
from dispatcher.staff.console.room import CONSOLE, sitting, words
from dispatcher.staff.photo import LARGEST_BYTES
from dispatcher.staff.reports import LONGEST

SHOWN = 200
"""Lines of the log on one page."""
LOOKED_AT = 2000
"""Events from which they are taken: machines write many of them, and nobody wants to read those first."""
CHOICES = 50
"""Alerts to choose from, the newest."""
_TIME = re.compile(r"(?:(?P<day>\d{4}-\d{2}-\d{2})[T ])?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?")


@dataclass(frozen=True, slots=True)
class Then:
    """The board of one alert at a moment."""

    outline: Outline
    at: datetime
    is_now: bool
    begun_at: datetime
    span_s: int
    """From the issue until now, or until the alert was over."""

    @property
    def elapsed_s(self) -> int:
        return max(0, round((self.at - self.begun_at).total_seconds()))


async def progress(request: web.Request) -> web.Response:
    return await _show(request)


async def report(request: web.Request) -> web.Response:
    """Write down what was heard; whatever is wrong is said at its field, and the text stays."""
    console, by, posted = request.app[CONSOLE], sitting(request).person, await fields(request)
    photo = await _photo(request)
    try:
        written = await console.desk.write_report(
            by,
            text=posted.get("text", ""),
            place=posted.get("place", ""),
            source=posted.get("source", ""),
            at=posted.get("at", ""),
            photo=photo,
        )
    except InvalidInput as refused:
        return await _show(request, posted=posted, findings=refused, had_photo=photo is not None)
    raise web.HTTPSeeOther(f"/progress?written={written.identifier}#reports")


async def _photo(request: web.Request) -> bytes | None:
    """The picture that came with the form; one byte more than is accepted says that it is too large."""
    given = (await request.post()).get("photo")
    if not isinstance(given, FileField):
        return None
    data: bytes = given.file.read(LARGEST_BYTES + 1)
    return data or None


async def picture(request: web.Request) -> web.Response:
    """A report's picture, by its hash."""
    console, by = request.app[CONSOLE], sitting(request).person
    found = await console.desk.picture(by, request.match_info["digest"])
    headers = {"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=86400, immutable"}
    return web.Response(body=found.jpeg, headers=headers)


async def _show(
    request: web.Request,
    *,
    posted: Mapping[str, str] | None = None,
    findings: InvalidInput | None = None,
    had_photo: bool = False,
) -> web.Response:
    console, t, by = request.app[CONSOLE], words(request), sitting(request).person
    asked = request.query
    alerts = list(await console.path.ledger.alerts())
    chosen = asked.get("alert", "")
    then, wrong = None, ""
    if chosen:
        try:
            then = await _then(request, chosen, alerts, asked.get("at", ""))
        except InvalidInput as refused:
            wrong = refused.findings[0].reason
        except NotFound:
            raise
        except Refused as refused:
            wrong = str(refused)
    shows_all = asked.get("all") == "1"
    until = then.at if then is not None and not then.is_now else None
    story = await console.desk.timeline(by, chosen or None, until, LOOKED_AT)
    places = {one.code: one.name for one in console.path.city.facilities} | dict(console.desk.facility_names())
    told = happened(story, t, lambda name: places.get(name) or t(*console.titles(name)))
    lines = [line for line in told if shows_all or line.name not in MACHINE]
    reports = await console.desk.reports(by)
    return await render(
        request,
        "progress.html",
        status=422 if findings else 200,
        alerts=await _names(request, alerts),
        chosen=chosen,
        then=then,
        wrong=wrong,
        at=asked.get("at", ""),
        lines=lines[:SHOWN],
        subjects=await _subjects(request, {line.subject for line in lines[:SHOWN]}, alerts),
        shows_all=shows_all,
        is_cut=len(lines) > SHOWN or len(story) == LOOKED_AT,
        reports=reports,
        by_id={one.identifier: one for one in reports},
        posted={"text": "", "place": "", "source": "", "at": "", **(posted or {})},
        findings={
            **dict.fromkeys(("text", "place", "source", "at", "photo")),
            **({f.where: f for f in findings.findings} if findings else {}),
        },
        had_photo=had_photo,
        LONGEST=LONGEST,
        written=asked.get("written", ""),
        places=[
            *dict.fromkeys(q.group for q in console.path.city.quarters.values()),
            *(q.names["ja"] for q in console.path.city.quarters.values()),
        ],
    )


async def _subjects(request: web.Request, of: set[str], alerts: Sequence[IssuedAlert]) -> Mapping[str, str]:
    """What each draft, message and round of asking among these says: event, place and number. What is none keeps its identifier."""
    console, t, by = request.app[CONSOLE], words(request), sitting(request).person
    language, counted = t("ja", "en-US"), _counted(alerts)
    kinds = {Kind.SAFETY: t("安否の確認", "Safety confirmation"), Kind.WATCH: t("見守り", "Daily touch")}
    rounds = await console.desk.round_names(by, language)
    named = {identifier: f"{kinds[kind]}　{place}" for identifier, (kind, place) in rounds.items()}
    for identifier, version, body in await console.path.ledger.drafts():
        if identifier in of:
            draft = Draft.from_body(version, body)
            wording = draft.wording.get(language) or next(iter(draft.wording.values()))
            number = t(f"　第{counted[identifier]}報", f"　No. {counted[identifier]}") if identifier in counted else ""
            named[identifier] = f"{wording.event}　{console.path.city.say(draft.quarters, language)}{number}"
    return named


def _counted(alerts: Sequence[IssuedAlert]) -> Mapping[str, int]:
    """The number of each message in its chain: 第1報, 第2報."""
    return numbers((a.identifier, a.chain) for a in sorted(alerts, key=lambda a: a.issued_at))


async def _names(request: web.Request, alerts: list[IssuedAlert]) -> list[tuple[str, str]]:
    """Identifier and words of each alert, newest first."""
    console, t = request.app[CONSOLE], words(request)
    counted = _counted(alerts)
    named = []
    for alert in alerts[:CHOICES]:
        draft = Draft.from_body(*await console.path.ledger.draft(alert.identifier))
        place = console.path.city.say(draft.quarters, t("ja", "en-US"))
        wording = draft.wording.get(t("ja", "en-US")) or next(iter(draft.wording.values()))
        number = counted[alert.identifier]
        said = f"{t.moment(alert.issued_at.astimezone(JST), console.clock.now())}　{place}　{wording.event}　"
        named.append((alert.identifier, said + t(f"第{number}報", f"No. {number}")))
    return named


async def _then(request: web.Request, identifier: str, alerts: list[IssuedAlert], asked: str) -> Then:
    console, t, by = request.app[CONSOLE], words(request), sitting(request).person
    now = console.clock.now()
    alert = await console.path.ledger.alert(identifier)
    at = _moment(asked, now) if asked.strip() else now
    is_now = at >= now
    board = await console.desk.board(by, identifier) if is_now else await console.desk.board_at(by, identifier, at)
    draft = Draft.from_body(*await console.path.ledger.draft(identifier))
    counted = _counted(alerts)
    begun = alert.issued_at.astimezone(JST)
    ended = min(now, alert.expires_at or now)
    return Then(
        outline(board, draft, counted.get(identifier, 1), console.path.city, t),
        min(at, now),
        is_now,
        begun,
        max(1, round((ended - begun).total_seconds())),
    )


def _moment(text: str, now: datetime) -> datetime:
    """17:30, 17:30:05 (the last one that has been) or 2026-11-21 17:30.

    Raises:
        InvalidInput: it is no time.
    """
    found = _TIME.fullmatch(unicodedata.normalize("NFKC", text).strip())
    refused = InvalidInput(
        [Finding("at", f"{text[:20]}: 17:30 か 17:30:05 のように書いてください (HH:MM or HH:MM:SS)")]
    )
    if found is None:
        raise refused
    here = now.astimezone(JST)
    try:
        day = datetime.fromisoformat(found["day"]).date() if found["day"] else here.date()
        moment = here.replace(
            year=day.year,
            month=day.month,
            day=day.day,
            hour=int(found["hour"]),
            minute=int(found["minute"]),
            # A whole minute means the end of it: what happened in it is seen.
            second=int(found["second"] or 59),
            microsecond=999_999,
        )
    except ValueError:
        raise refused from None
    if moment > now and not found["day"] and (found["second"] or moment - now > timedelta(minutes=1)):
        moment -= timedelta(days=1)
    return moment


ROUTES = [
    web.get("/progress", progress),
    web.post("/progress/reports", report),
    web.get("/progress/photos/{digest:[0-9a-f]{64}}", picture),
]
