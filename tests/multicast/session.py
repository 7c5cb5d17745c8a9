"""What multicast tests begin with: keys, a carousel on the air, losses from a seed, and an adversary who has no key."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from multicast import code, fdt, manifest, packet
from multicast.carousel import Carousel, Content, encode
from multicast.keys import RootKey, SenderKey, Trust
from multicast.manifest import Entry, Manifest, Notice
from multicast.reassembly import Bounds, Reassembly

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
ROOT = RootKey(bytes(range(32)))
KEY = SenderKey(
    bytes(range(1, 33)),
    "Exercise",
    ROOT.certify(SenderKey(bytes(range(1, 33)), "Exercise").public, "Exercise", int(NOW_S)),
)
STRANGER = SenderKey(
    b"stranger" * 4,
    "Exercise",
    RootKey(b"another!" * 4).certify(SenderKey(b"stranger" * 4, "Exercise").public, "Exercise", int(NOW_S)),
)
TSI = 1


def wall():
    return NOW_S


def content(size: int, name: str = "notice.json", seed: int = 0) -> Content:
    return Content(name, "application/json", random.Random(seed).randbytes(size))


def notice(identifier: str = "jp.example.1", minutes: float = 60) -> Notice:
    return Notice(identifier, "Severe", ("132040301",), NOW + timedelta(minutes=minutes))


def carousel(key=KEY, **options) -> Carousel:
    return Carousel(**{"tsi": TSI, "wall": wall, "key": key, **options})


def show(on: Carousel, what: Notice, *files: Content) -> Manifest | None:
    return on.show(what, [(file, encode(file.content, on.symbol_bytes)) for file in files])


def receiver(trust: Trust | None, **options) -> Reassembly:
    """A receiver whose clock stands still, so that buckets never refill; it knows its source, as a station would."""
    roomy = Bounds(stranger_burst=100_000, known_burst=1_000_000)
    return Reassembly(**{"tsi": TSI, "trust": trust, "wall": wall, "clock": lambda: 0.0, "bounds": roomy, **options})


def by_root() -> Trust:
    return Trust(root=ROOT.public)


def by_sender() -> Trust:
    return Trust(sender=KEY.public, status="Exercise")


def datagrams(of: Carousel, slots: int, start_s: float = 0.0, slot_s: float = 0.0024) -> Iterator[bytes]:
    """What leaves in so many slots."""
    for slot in range(slots):
        datagram = of.next(start_s + slot * slot_s)
        if datagram is not None:
            yield datagram


def run(of: Carousel, to: Reassembly, *, loss: float = 0.0, seed: int = 1, slots: int = 20_000) -> list:
    """Carry on until the receiver is complete; the events in their order."""
    chance = random.Random(seed)
    events = []
    for datagram in datagrams(of, slots):
        if chance.random() >= loss:
            events += to.push(datagram, "192.0.2.1")
        if to.is_complete:
            return events
    raise AssertionError(f"not complete after {slots} slots: {to.refused}")


def forgeries(seen: list[bytes], seed: int = 0) -> Iterator[bytes]:
    """What somebody sends who hears everything and has no key: endless, and different each time."""
    chance = random.Random(seed)
    false = b'{"headline": "false alarm"}'
    false_md5 = hashlib.md5(false).digest()
    while True:
        genuine = chance.choice(seen)
        read = packet.read(genuine)
        # A symbol with other bytes, under the genuine signature.
        spoiled = bytearray(genuine)
        spoiled[chance.randrange(16, len(spoiled))] ^= 1 << chance.randrange(8)
        yield bytes(spoiled)
        # A symbol of the genuine object, unsigned; then signed by somebody else, who brings a certificate of his own.
        if isinstance(read.oti, packet.RaptorQ):
            poison = replace(
                read, symbol=chance.randbytes(len(read.symbol)), auth_at=None, payload_id=chance.randrange(5000)
            )
            yield packet.write(poison)
            yield packet.write(replace(poison, certificate=STRANGER.certificate.write()), STRANGER)
        # A whole false notice: FDT, manifest and object.
        toi = chance.randrange(1, 1 << 32)
        table = fdt.write(
            fdt.Fdt(int(NOW_S) + 600, (fdt.File(toi, "false.json", "application/json", len(false), false_md5),))
        )
        plain = packet.NoCode(len(table), len(table) + 64)
        yield packet.write(packet.Packet(TSI, 0, plain, 0, table, chance.randrange(1 << 20)))
        entry = Entry(toi, "false.json", "application/json", len(false), hashlib.sha256(false).hexdigest(), len(false))
        said = Manifest(
            "Exercise", TSI, 1 << 62, NOW, NOW + timedelta(hours=1), (replace(notice("false"), entries=(entry,)),)
        )
        for number, body in ((toi, false), (toi ^ 1 or 2, manifest.write(said, STRANGER))):
            oti, symbols = code.encode(body, 1024)
            for symbol in symbols[: oti.source_symbols]:
                forged = packet.Packet(TSI, number, oti, int.from_bytes(symbol[:4], "big"), symbol[4:])
                yield packet.write(forged)
                yield packet.write(forged, STRANGER)
