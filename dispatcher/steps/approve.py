"""A draft becomes an alert, and an approval binds to exactly what was shown.

The fingerprint covers text, renderings, audience rule and mode. It is taken over the alert as it would be sent at the moment of
submission: the time of sending is the only thing that dispatch may still set, so nothing else can differ.

Source: design.md §9 "Approval binds to"; CAP 1.2 §3.2.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from config.city import City
from dispatcher import cap
from dispatcher.errors import Finding, InvalidInput, StaleHash
from dispatcher.model.alert import (
    QUARTER,
    Added,
    Alert,
    Area,
    Category,
    Certainty,
    Info,
    Named,
    Reference,
    ResponseType,
    Scope,
    Severity,
    Urgency,
)
from dispatcher.model.audience import Audience
from dispatcher.model.draft import MSG_TYPES, Draft
from dispatcher.model.mode import M
from dispatcher.model.rendering import Rendering

ISSUED = "{issued}"


def alert_of(
    draft: Draft, mode: type[M], city: City, *, sender: str, sent: datetime, web: str, references: tuple[Reference, ...]
) -> Alert[M]:
    """The alert that this draft is when it is sent at `sent`."""
    sent = sent.replace(microsecond=0)
    issued = {"ja": f"{sent.hour}時{sent.minute:02d}分", "ja-x-easy": f"{sent.hour}時{sent.minute}分"}
    geocodes = tuple(Named(QUARTER, code) for code in draft.quarters)

    def info(language: str) -> Info:
        words = draft.wording[language]
        said_at = issued.get(language, f"{sent:%H:%M}")
        added = [
            (Added.LEVEL, str(draft.level) if draft.level else None),
            (Added.SHORT, words.short),
            (Added.NEXT_UPDATE, draft.next_update and draft.next_update.isoformat()),
            (Added.SHELTERS, words.shelters or None),
            (Added.CORRECTION, draft.note if draft.verb == "correct" else None),
        ]
        return Info(
            language=language,
            category=(Category(draft.category),),
            event=words.event,
            response_type=tuple(ResponseType(r) for r in draft.response_type),
            urgency=Urgency(draft.urgency),
            severity=Severity(draft.severity),
            certainty=Certainty(draft.certainty),
            effective=sent,
            expires=draft.expires.replace(microsecond=0),
            sender_name=city.senders.get(language, city.senders["ja"]),
            headline=words.headline.replace(ISSUED, said_at),
            description=words.description.replace(ISSUED, said_at),
            instruction=words.instruction.replace(ISSUED, said_at),
            web=f"{web}/",
            contact=city.contact,
            parameter=tuple(Named(name, value.replace(ISSUED, said_at)) for name, value in added if value),
            area=(Area(city.say(draft.quarters, language), geocodes=geocodes),),
        )

    return Alert(
        identifier=draft.identifier,
        sender=sender,
        sent=sent,
        status=mode.status,
        msg_type=MSG_TYPES[draft.verb],
        scope=Scope.PUBLIC,
        note=draft.note,
        references=references,
        info=tuple(info(language) for language in draft.wording),
    )


def fingerprint(alert: Alert[M], renderings: Mapping[str, Rendering[M]], audiences: Mapping[str, Audience]) -> str:
    """SHA-256 in hex of what an approver sees: CAP text with status, each rendering, each audience rule.

    Not how many the rule comes to: a resident who subscribes meanwhile must not void an approval.
    """
    framed = [cap.write(alert)]
    framed += [f"{kind}={rendering.digest}".encode() for kind, rendering in sorted(renderings.items())]
    framed += [f"{kind}={a.quarters}".encode() for kind, a in sorted(audiences.items())]
    return hashlib.sha256(b"\0".join(framed)).hexdigest()


def require_shown(draft: Draft, shown: str | None, current: str) -> None:
    """What is approved is what was shown, what stands there, and what was submitted: three times the same hash.

    Raises:
        StaleHash: it is not.
        InvalidInput: no hash was given.
    """
    if not shown:
        raise InvalidInput(
            [Finding("hash", "preview が示した hash を指定してください (give the hash that preview showed)")]
        )
    # As bytes: what was given is anybody's text.
    given, stands, submitted = (text.encode(errors="replace") for text in (shown, current, draft.hash or ""))
    if not (hmac.compare_digest(given, stands) and hmac.compare_digest(stands, submitted)):
        raise StaleHash(
            "承認しようとした内容は、いまの内容と違います。もう一度確認してください (not what stands there now)"
        )
