"""Promise P5: how close the carousel comes to the ideal erasure code, for 1,000 receivers on the same losses.

Each receiver is a real `Reassembly` that decodes for itself; what they share is the work of checking one and the same
signature. Losses are 10 to 40 %, half of the receivers' in bursts of three, from one seed. The ideal code stands in the
carousel's place: it is done when K of the packets with symbols have arrived, whichever, and its datagrams are full (1,472
bytes of data in 1,500) without a header of its own or a word about what they are.

* packets: packets with symbols sent per source symbol, ours ÷ ideal;
* wire: all bytes sent, with manifest, FDT and all headers, ours ÷ ideal; unsigned, and signed;
* forged: files shown that the sender never sent, under a flood of forgeries; the baseline is a receiver without trust.

Source: design.md §11 P5; Gilbert (1960) for bursts.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nacl.signing import VerifyKey

from multicast.keys import Sender, SenderKey, Trust
from multicast.packet import address
from multicast.reassembly import Announced, Cancelled, Delivered, Reassembly
from tests.bench.row import Row, at_most
from tests.multicast.session import (
    KEY,
    NOW_S,
    ROOT,
    by_root,
    carousel,
    content,
    datagrams,
    forgeries,
    notice,
    receiver,
    show,
)

NAMES = ("multicast.packets", "multicast.wire", "multicast.wire.signed", "multicast.forged")

RECEIVERS = 1000
OBJECT_BYTES = 1_000_000
RATE_BIT_S = 5_000_000
LOSSES = (0.1, 0.2, 0.3, 0.4)
BURST = 3.0
HEADER_BYTES = 28
FULL_DATAGRAM_BYTES = 1472
FULL_WIRE_BYTES = FULL_DATAGRAM_BYTES + HEADER_BYTES


@dataclass
class Spent:
    """Until the last receiver was done: packets with symbols for each source symbol, and bytes on the wire."""

    packets: float = 0.0
    wire_bytes: float = 0.0


class Losses:
    """One receiver's path: each packet lost or not, independently or in bursts with the same mean."""

    def __init__(self, number: int) -> None:
        self._chance = random.Random(number)
        self._loss = LOSSES[number % len(LOSSES)]
        is_bursty = number // len(LOSSES) % 2
        self._stays_bad = 1 - 1 / BURST if is_bursty else self._loss
        self._turns_bad = self._loss / (1 - self._loss) / BURST if is_bursty else self._loss
        self._is_bad = self._chance.random() < self._loss

    def next(self) -> bool:
        self._is_bad = self._chance.random() < (self._stays_bad if self._is_bad else self._turns_bad)
        return self._is_bad


class _OnceVerified:
    """A public key that looks at each packet's signature once for all receivers of this bench."""

    def __init__(self, public: bytes) -> None:
        self._key = VerifyKey(public)
        self._good: set[tuple[bytes, bytes]] = set()

    def verify(self, message: bytes, signature: bytes) -> bytes:
        if (message, signature) not in self._good:
            self._key.verify(message, signature)
            self._good.add((message, signature))
        return message


class _SharedChecks(Trust):
    """Trust in the root, of one receiver; it learns the sender's key from the packets, and shares only their checking."""

    def __init__(self, checks: _OnceVerified) -> None:
        super().__init__(root=ROOT.public)
        self._checks = checks

    def sender(self, key_id: bytes, now_s: float) -> Sender | None:
        found = super().sender(key_id, now_s)
        return replace(found, _verify=self._checks) if found else None


def race(key: SenderKey | None) -> tuple[Spent, Spent]:
    """(ours, the ideal code's) until the last of all receivers was done."""
    on_air = carousel(key)
    file = content(OBJECT_BYTES)
    show(on_air, notice(), file)
    source_symbols = -(-OBJECT_BYTES // on_air.symbol_bytes)
    checks = _OnceVerified(key.public) if key else None
    waiting: dict[int, Reassembly] = {n: receiver(_SharedChecks(checks) if checks else None) for n in range(RECEIVERS)}
    paths = [Losses(n) for n in range(RECEIVERS)]
    arrived = [0] * RECEIVERS
    ideal_waiting = set(range(RECEIVERS))
    ours, ideal = Spent(), Spent()
    slot_s = FULL_WIRE_BYTES * 8 / RATE_BIT_S
    slot = 0
    while waiting or ideal_waiting:
        datagram = on_air.next(slot * slot_s)
        slot += 1
        assert datagram is not None
        is_symbol = address(datagram)[1] == on_air.notices[0].entries[0].toi
        if waiting:
            ours.packets += is_symbol
            ours.wire_bytes += len(datagram) + HEADER_BYTES
        if ideal_waiting:
            ideal.packets += is_symbol
        for n in waiting.keys() | ideal_waiting:
            if paths[n].next():
                continue
            if is_symbol:
                arrived[n] += 1
                if arrived[n] == source_symbols:
                    ideal_waiting.discard(n)
            if n in waiting:
                waiting[n].push(datagram, "192.0.2.1")
                if waiting[n].is_complete:
                    del waiting[n]
    ours.packets /= source_symbols
    ideal.packets /= source_symbols
    ideal.wire_bytes = ideal.packets * OBJECT_BYTES / FULL_DATAGRAM_BYTES * FULL_WIRE_BYTES
    return ours, ideal


def shown(trust: Trust | None, flood: int) -> tuple[int, int]:
    """(false files shown, genuine ones) by a receiver under `flood` forgeries between a carousel's packets at 20 % loss."""
    on_air = carousel()
    genuine = [content(2_000, "notice.json", 1), content(200_000, "map.png", 2)]
    show(on_air, notice(), *genuine)
    heard = list(datagrams(on_air, 1200))
    chance = random.Random(7)
    forged = forgeries(heard[:50])
    under = receiver(trust)
    events = []
    for datagram in heard:
        for _ in range(flood // len(heard)):
            events += under.push(next(forged), "198.51.100.66")
        if chance.random() > 0.2:
            events += under.push(datagram, "192.0.2.1")
    files = [event for event in events if isinstance(event, Delivered)]
    true = {(file.name, file.content) for file in genuine}
    false = sum((file.name, file.content) not in true for file in files)
    false += sum(event.manifest.sequence > NOW_S * 1000 + 1000 for event in events if isinstance(event, Announced))
    return false + sum(isinstance(event, Cancelled) for event in events), len(files) - false


def rows(wanted: set[str]) -> Iterator[Row]:
    if wanted & {"multicast.packets", "multicast.wire"}:
        ours, ideal = race(None)
        yield at_most("multicast.packets", ours.packets, ideal.packets, "packets/source symbol", 1.02)
        yield at_most("multicast.wire", ours.wire_bytes / 1e6, ideal.wire_bytes / 1e6, "MB on the wire", 1.06)
    if "multicast.wire.signed" in wanted:
        ours, ideal = race(KEY)
        yield at_most("multicast.wire.signed", ours.wire_bytes / 1e6, ideal.wire_bytes / 1e6, "MB on the wire", 1.12)
    if "multicast.forged" in wanted:
        false, true = shown(by_root(), 20_000)
        believed, _ = shown(None, 20_000)
        row = at_most("multicast.forged", false, believed, "false files shown", 0)
        yield Row(row.name, row.ours, row.baseline, row.unit, row.ratio, row.promise, row.holds and true == 2)
