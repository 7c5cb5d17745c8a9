"""What a station's monitoring receiver has verified, as it tells the sender: one signed HTTP request, all of its state each time.

A report says what holds now and not what changed, so that a lost one costs nothing; an earlier one is refused after a later one,
and the same one twice changes nothing. It is signed as a Standard Webhook: HMAC-SHA256 over id, time and body with the
station's own secret.

Source: Standard Webhooks 1.0.0 §"Signature scheme"; design.md §3 "taken"; facts.md §Wi-Fi multicast.
"""

import base64
import hashlib
import hmac
import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

T = TypeVar("T")

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
MAX_BYTES: Final = 65_536
MAX_AGE_S: Final = 300
"""How far the station's clock may be from ours."""
POST_TIMEOUT_S: Final = 5.0


class BadReport(ValueError):  # noqa: N818 - says what was seen
    """A report that is not believed; the text says why."""


@dataclass(frozen=True, slots=True)
class Report:
    """`holds`: by notice, the SHA-256 (hex) of each of its files that is here, whole and proved. `hidden`: notices withdrawn."""

    sequence: int
    """Of the newest manifest believed; 0 before the first."""
    holds: Mapping[str, frozenset[str]]
    hidden: frozenset[str]
    at_s: int = 0
    """When it was signed (UNIX seconds), as `read` found it."""


def write(report: Report, secret: str, now_s: float) -> tuple[dict[str, str], bytes]:
    """Headers and body of the request."""
    data = {
        "sequence": report.sequence,
        "holds": {identifier: sorted(files) for identifier, files in report.holds.items()},
        "hidden": sorted(report.hidden),
    }
    return _signed("station.report", data, secret, now_s)


def write_answers(sealed: Sequence[bytes], secret: str, now_s: float) -> tuple[dict[str, str], bytes]:
    """As `write`, of what residents wrote at the station: sealed, so that neither the station nor the way can read it."""
    return _signed("station.answers", {"sealed": [base64.b64encode(one).decode() for one in sealed]}, secret, now_s)


def _signed(kind: str, data: Mapping[str, Any], secret: str, now_s: float) -> tuple[dict[str, str], bytes]:
    said = {"type": kind, "timestamp": datetime.fromtimestamp(now_s, UTC).isoformat(), "data": data}
    body = json.dumps(said, ensure_ascii=False).encode()
    name = f"msg_{hashlib.sha256(body).hexdigest()[:24]}"
    moment = str(int(now_s))
    headers = {ID: name, TIMESTAMP: moment, SIGNATURE: f"v1,{_sign(secret, name, moment, body)}"}
    return {"Content-Type": "application/json", **headers}, body


def read(headers: Mapping[str, str], body: bytes, secret: str, now_s: float, after_s: int = 0) -> Report:
    """A report whose signature and time are right, signed no earlier than `after_s`: the last one's `at_s`.

    Raises:
        BadReport: forged, too old, overtaken, or of another form.
    """
    moment_s = _believed(headers, body, secret, now_s)
    if moment_s < after_s:
        raise BadReport("an earlier report after a later one")
    return _read(body, "station.report", lambda data: _report(data, moment_s))


def read_answers(headers: Mapping[str, str], body: bytes, secret: str, now_s: float) -> tuple[bytes, ...]:
    """What `write_answers` wrote, still sealed; the same request may come again.

    Raises:
        BadReport: forged, too old, or of another form.
    """
    _believed(headers, body, secret, now_s)
    return _read(
        body,
        "station.answers",
        lambda data: tuple(base64.b64decode(_text(one), validate=True) for one in data["sealed"]),
    )


def _believed(headers: Mapping[str, str], body: bytes, secret: str, now_s: float) -> int:
    """When it was signed (UNIX seconds).

    Raises:
        BadReport: the signature or its time is wrong.
    """
    name, moment = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    expected = f"v1,{_sign(secret, name, moment, body)}".encode()
    given = headers.get(SIGNATURE, "").encode("utf-8", "replace").split(b" ")
    if not any(hmac.compare_digest(one, expected) for one in given):
        raise BadReport("the signature is not this station's")
    if not (moment.isascii() and moment.isdigit() and abs(int(moment[:15]) - now_s) <= MAX_AGE_S):
        raise BadReport(f"the time is more than {MAX_AGE_S} s from ours")
    return int(moment)


def _read(body: bytes, kind: str, form: Callable[[Any], T]) -> T:
    try:
        said = json.loads(body)
        if said["type"] == kind:
            return form(said["data"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadReport(f"not a report: {type(error).__name__}") from None
    raise BadReport(f"not a {kind}")


def post(url: str, headers: Mapping[str, str], body: bytes) -> None:
    """Hand it over; blocks.

    Raises:
        OSError: nobody there, or it was refused.
    """
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310 - the operator's own address
    with urllib.request.urlopen(request, timeout=POST_TIMEOUT_S) as answer:  # noqa: S310 - as above
        answer.read(1024)


def _report(data: Any, at_s: int) -> Report:
    holds = {_text(identifier): frozenset(map(_text, files)) for identifier, files in dict(data["holds"]).items()}
    if not isinstance(data["sequence"], int):
        raise TypeError
    return Report(data["sequence"], holds, frozenset(map(_text, data["hidden"])), at_s)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _sign(secret: str, name: str, moment: str, body: bytes) -> str:
    signed = b".".join((name.encode(), moment.encode(), body))
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
