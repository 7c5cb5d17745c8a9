"""The ALC packets of a capture, one after the other, each with who signed it: for people who look at what was on the air.

Source: RFC 5651 §5; facts.md §Wi-Fi multicast "Authentication".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multicast import capture
from multicast.keys import Trust
from multicast.packet import Malformed, is_signed_by, key_id, read


def dissected(file: Path, port: int, trust: Trust | None) -> Iterator[dict[str, Any]]:
    """What each packet says, by field; `signed` is verified, unverified, unsigned, foreign, or without `trust` just signed.

    Raises:
        capture.BadCapture: the file is none.
    """
    for captured in capture.read_pcap(file):
        if captured.port == port:
            yield {
                "at_s": captured.at_s,
                "source": captured.source,
                "group": captured.group,
                **capture.describe(captured.payload),
                "signed": _signed(captured.payload, captured.at_s, trust),
            }


def line_of(packet: dict[str, Any]) -> str:
    head = f"{packet['at_s']:.6f} {packet['source']} > {packet['group']}"
    if "error" in packet:
        return f"{head}: {packet['error']}"
    names = ", ".join(extension["name"] for extension in packet["extensions"])
    where = f"TSI {packet['tsi']} TOI {packet['toi']} symbol {packet['sbn']}/{packet['esi']}"
    return f"{head}: {where} [{names}] {packet['signed']}"


def _signed(datagram: bytes, at_s: float, trust: Trust | None) -> str:
    try:
        said = read(datagram)
    except Malformed:
        return "foreign"
    name = key_id(datagram, said)
    if name is None:
        return "unsigned"
    if trust is None:
        return "signed"
    sender = trust.sender(name, at_s) or (said.certificate and trust.admit(said.certificate, at_s))
    return "verified" if sender and is_signed_by(datagram, said, sender.verify) else "unverified"
