"""CAP 1.2 as XML: strict out, lenient in.

    read(data) → Alert            what other services issue, however unusual, as long as the schema accepts it
    write(alert) → bytes          only what the schema accepts, times with an offset in figures and never `Z`
    check(data) → Verdict         valid or not and every reason, and what CAP's text forbids though the schema allows it
    roundtrip(data) → losses      what reading and writing again would lose; empty for everything that has CAP's form

`document` is the only door to lxml. Comments, processing instructions and signatures are not carried on; a Signature is
named among the findings.

Source: OASIS CAP 1.2; design.md §7; facts.md §CAP.
"""

from dataclasses import dataclass

from dispatcher.cap import fidelity, reading, semantics, writing
from dispatcher.cap.document import MAX_BYTES, Node, parse, serialise
from dispatcher.errors import Finding, InvalidInput
from dispatcher.model.alert import Alert

__all__ = ["MAX_BYTES", "MEDIA_TYPE", "Verdict", "check", "read", "roundtrip", "write"]

MEDIA_TYPE = "application/cap+xml"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons` make it invalid: the schema, a DTD, the size. `findings` do not, and are looked for in valid ones only."""

    is_valid: bool
    reasons: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def read(data: bytes) -> Alert[object]:
    """The alert in these bytes. What has not CAP's form within a free text (a polygon of words) is kept as `malformed`.

    Raises:
        InvalidInput: it is not CAP 1.2; each reason is a finding.
    """
    return reading.alert(_valid(data))


def write(alert: Alert[object]) -> bytes:
    """UTF-8 XML, the same bytes for the same alert.

    Raises:
        Defect: the alert cannot be said in CAP 1.2 (a control character, a time without offset): our own mistake.
    """
    return serialise(writing.alert(alert))


def check(data: bytes) -> Verdict:
    """Never raises for what the bytes are."""
    document = parse(data)
    if document.root is None:
        return Verdict(is_valid=False, reasons=document.reasons)
    return Verdict(is_valid=True, findings=tuple(semantics.findings(document.root)))


def roundtrip(data: bytes) -> tuple[str, ...]:
    """Read and written again: every difference to the original, as `where: what`; empty where nothing was lost.

    Raises:
        InvalidInput: it is not CAP 1.2.
    """
    original = _valid(data)
    copy = _valid(serialise(writing.alert(reading.alert(original))))
    return tuple(fidelity.differences(original, copy))


def _valid(data: bytes) -> Node:
    document = parse(data)
    if document.root is None:
        raise InvalidInput([Finding("CAP", reason) for reason in document.reasons])
    return document.root
