"""A mail that came to a bounce address: what it says of which of our mails, or that it is no bounce at all.

Fields are looked for by line and never by unpacking: a report is a stranger's bytes, nested as they like, and what we need stands
in plain lines of message/delivery-status, or, from old mailers, somewhere in the text. Whose it is says the address that it came
to, which nobody can forge; what the report names itself is believed only where it fits that.

Source: RFC 3464 §2 (fields), §2.3.3 (Action); RFC 3463; RFC 3834 §2 (what an auto-reply says); facts.md §Mail "Japan".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

LOOKED_AT_BYTES = 262_144
LONGEST_WORDS = 200
_REPORT = re.compile(rb"^content-type:\s*message/(?:global-)?delivery-status\b", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(rb"^([A-Za-z-]{1,40}):[ \t]*((?:[^\r\n]*)(?:\r?\n[ \t][^\r\n]*)*)", re.MULTILINE)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_CODE = re.compile(r"(?<![\d.])([45]\d\d)(?![\d.])")
_MESSAGE_ID = re.compile(
    rb"<([0-9a-f]{32})\.([A-Za-z0-9%_~-]{1,200})(?:\.([A-Za-z0-9%_~-]{1,200}))?@([A-Za-z0-9.-]{1,253})>"
)
_ADDRESS = re.compile(r"[^\s<>;\"]{1,64}@[^\s<>;\"]{1,253}")


@dataclass(frozen=True, slots=True)
class Named:
    """What one of our Message-IDs says."""

    digest: str
    identifier: str
    key: str
    """Of a mail to one person by key; "" for the list's."""


@dataclass(frozen=True, slots=True)
class Bounce:
    """One failure, as it was reported."""

    status: str
    """RFC 3463, "" where nothing says one."""
    words: str = field(repr=False)
    """The receiver's own, one line, addresses and all."""
    recipients: tuple[str, ...] = field(repr=False)
    """Whom the report names; not believed alone."""
    about: Named | None


def read(data: bytes, domain: str, *, is_from_nobody: bool) -> Bounce | None:
    """None for whatever reports no failure: a delay, a success, somebody's answer. `domain`: of our own Message-IDs."""
    looked = data[:LOOKED_AT_BYTES]
    about = _about(looked, domain)
    report = _REPORT.search(looked)
    if report is not None:
        return _of_report(looked[report.end() :], about)
    if not is_from_nobody:
        return None
    # A mailer of before RFC 3464 (qmail, some carriers): only its words, the first that look like an answer of SMTP.
    for line in looked.decode("ascii", "replace").splitlines():
        said = _STATUS.search(line)
        code = _CODE.search(line)
        if line[:1].isalpha() and ":" in line.split(" ", 1)[0]:
            continue
        if said or code:
            status = said[0] if said else ""
            first = said[1] if said else code[1][0] if code else ""
            return Bounce(status, _words(line), (), about) if first in {"4", "5"} else None
    return None


def _of_report(fields: bytes, about: Named | None) -> Bounce | None:
    end = re.search(rb"^--", fields, re.MULTILINE)
    said = _fields(fields[: end.start()] if end else fields)
    if said.get("action", "").partition(" ")[0].lower() != "failed":
        return None
    status = _STATUS.search(said.get("status", ""))
    words = said.get("diagnostic-code", "").partition(";")[2].strip() or said.get("diagnostic-code", "")
    names = (said.get("original-recipient", ""), said.get("final-recipient", ""))
    recipients = tuple(found[0] for name in names if (found := _ADDRESS.search(name.partition(";")[2])))
    # A status of x.0.0 says nothing that the words do not say better.
    better = _STATUS.search(words) if status is None or status[0].endswith(".0.0") else None
    return Bounce((better or status or [""])[0], _words(words), recipients, about)


def _fields(block: bytes) -> Mapping[str, str]:
    """The last of each name: the per-message fields come first, and each of our mails has one recipient."""
    return {
        name.decode().lower(): re.sub(r"\s+", " ", value.decode("utf-8", "replace")).strip()[:1000]
        for name, value in _FIELD.findall(block)[:64]
    }


def _about(data: bytes, domain: str) -> Named | None:
    for digest, identifier, key, host in _MESSAGE_ID.findall(data)[:8]:
        if host.decode().lower() == domain.lower():
            return Named(digest.decode(), unquote(identifier.decode()), unquote(key.decode()))
    return None


def _words(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()[:LONGEST_WORDS]
