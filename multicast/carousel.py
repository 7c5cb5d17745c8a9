"""The carousel: which packet goes next, while notices come, change and go.

A receiver may switch on at any moment and nobody can ask again, so everything that holds is said over and over: the
manifest and the FDT every 100 ms, symbols of short notices at least 20 packets apart (a burst of losses then costs one of
them, not all), and large objects in every slot that is left. Objects are encoded once to 3 × K symbols and each packet is
signed once, when it is first due, so that the first one leaves at once.

Pure: values in, datagrams out. Time comes in with each question; `sender.py` adds the socket and the pace.

Source: RFC 6726 §3.3 (FDT instances), RFC 5775 §3 (carousel sessions); facts.md §Wi-Fi multicast (spacing, interval).
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from multicast import code, fdt, manifest, packet
from multicast.keys import SenderKey, Status
from multicast.manifest import Entry, Manifest, Notice

INTERVAL_S: Final = 0.1
SHORT_SYMBOLS: Final = 8  # with more, a burst is a smaller part of the object than the wait for the gaps would be
SHORT_GAP: Final = 20
_PACKETS_A_BEAT: Final = 4
_FDT_DAYS: Final = 1
# Numbers follow the clock, so that a restart takes up none that were used before: TOIs come round after two years, FDT
# instances after a day and a half.
_TOIS_A_SECOND: Final = 64
_INSTANCES_A_SECOND: Final = 8


@dataclass(frozen=True, slots=True)
class Content:
    """A file to be carried. `unpacked_bytes` is its size after unzipping when it is an archive."""

    name: str
    media_type: str
    content: bytes
    unpacked_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file's symbols and digests: dear to make, so made once, and elsewhere if it is large."""

    oti: packet.RaptorQ
    symbols: tuple[bytes, ...]
    sha256: str
    md5: bytes


def encode(content: bytes, symbol_bytes: int) -> Encoded:
    """Raises code.Unencodable: the file is empty or longer than 10,000,000 bytes."""
    oti, symbols = code.encode(content, symbol_bytes)
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    return Encoded(oti, symbols, hashlib.sha256(content).hexdigest(), md5)


class Carousel:
    """What one session (one group, one TSI) says.

    `wall` gives UNIX seconds: TOIs, FDT instances and manifest sequences start from it, so that none is used again after a
    restart. Without `key` the session is plain FLUTE with an FDT and no manifest.
    """

    def __init__(
        self,
        *,
        tsi: int,
        wall: Callable[[], float],
        key: SenderKey | None = None,
        datagram_bytes: int = 1472,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.tsi = tsi
        self.symbol_bytes = packet.symbol_bytes(datagram_bytes, is_signed=key is not None)
        self._key = key
        self._wall = wall
        self._interval_s = interval_s
        certificate = key.certificate if key else None
        self._certificate = certificate.write() if certificate else None
        self._control_symbol_bytes = packet.symbol_bytes(
            datagram_bytes - packet.FDT_BYTES, is_signed=key is not None, has_certificate=certificate is not None
        )
        self._toi = 0
        self._instance = 0
        self._sequence = 0
        self._shown: _Shown = {}
        self._cancels: dict[str, datetime] = {}
        self._beats: list[_Beat] = []
        self._short: list[_Object] = []
        self._large: deque[_Object] = deque()
        self._waiting: deque[bytes] = deque()
        self._slot = 0

    @property
    def status(self) -> Status | None:
        return self._key.status if self._key else None

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What is shown now, with its entries."""
        return tuple(notice for notice, _ in self._shown.values())

    @property
    def is_idle(self) -> bool:
        """Nothing is shown and no cancellation holds: there is nothing to say until the next change."""
        return not self._beats

    def show(
        self,
        notice: Notice,
        files: Sequence[tuple[Content, Encoded]],
        replaces: Mapping[str, datetime] = MappingProxyType({}),
    ) -> Manifest | None:
        """Carry this notice from the next packet on, in place of one with the same identifier and of those that it replaces.

        Those are withdrawn by the same manifest, each until its time: there is no moment with both or with neither, and
        the room that they leave is there for it. Returns the manifest that announces it; None on a plain session.

        Raises:
            manifest.Full: no room for its objects.
            ValueError: already expired, or a text that a manifest does not take. In either case nothing has changed.
        """
        if notice.expires.timestamp() <= self._wall():
            raise ValueError(f"{notice.identifier}: expired {notice.expires.isoformat()}")
        objects, entries = [], []
        for content, encoded in files:
            toi = self._new_toi()
            oti, length = encoded.oti, len(content.content)
            if oti.symbol_bytes != self.symbol_bytes or oti.transfer_bytes != length:
                raise ValueError(f"{content.name}: encoded for another session")
            line = fdt.File(toi, content.name, content.media_type, length, encoded.md5)
            objects.append((line, _Object(self, toi, oti, encoded.symbols)))
            unpacked = length if content.unpacked_bytes is None else content.unpacked_bytes
            entries.append(Entry(toi, content.name, content.media_type, length, encoded.sha256, unpacked))
        shown = {k: v for k, v in self._shown.items() if k not in replaces}
        shown[notice.identifier] = (replace(notice, entries=tuple(entries)), tuple(objects))
        cancels = {k: v for k, v in {**self._cancels, **replaces}.items() if k != notice.identifier}
        return self._announce(shown, _newest(cancels))

    def withdraw(self, identifier: str, *, cancelled_until: datetime | None = None) -> Manifest | None:
        """Carry this notice no more; with `cancelled_until`, tell those who have it to hide it, until then.

        A notice that is not there is withdrawn all the same: after a restart nobody else remembers it.
        """
        shown = {k: v for k, v in self._shown.items() if k != identifier}
        cancels = dict(self._cancels)
        if cancelled_until is not None:
            cancels[identifier] = cancelled_until
        return self._announce(shown, _newest(cancels))

    def next(self, now_s: float) -> bytes | None:
        """The datagram for this slot, or None when nothing is due. `now_s` is a monotonic time in seconds.

        A slot is the time of one full packet: ask once for each, also after a None.
        """
        self._slot += 1
        for beat in self._beats:
            if now_s >= beat.due_s:
                if self._drop_expired():
                    return self.next(now_s)
                beat.due_s = now_s + self._interval_s + beat.phase_s
                beat.phase_s = 0.0
                self._waiting.extend(beat.packets())
        if self._waiting:
            return self._waiting.popleft()
        # With large objects about, short ones take every second slot at most.
        if self._short and (not self._large or self._slot % 2):
            first = min(self._short, key=lambda o: o.due_slot)
            if first.due_slot <= self._slot:
                first.due_slot = self._slot + SHORT_GAP
                return first.next()
        if not self._large:
            return None
        self._large.rotate(-1)
        return self._large[-1].next()

    def seal(self, plain: packet.Packet) -> bytes:
        """The packet as it leaves, signed if this session has a key."""
        return packet.write(plain, self._key)

    def _new_toi(self) -> int:
        self._toi = max(self._toi + 1, int(self._wall() * _TOIS_A_SECOND))
        return self._toi % 0xFFFFFFFF + 1

    def _drop_expired(self) -> bool:
        now_s = self._wall()
        shown = {k: v for k, v in self._shown.items() if v[0].expires.timestamp() > now_s}
        cancels = {k: v for k, v in self._cancels.items() if v.timestamp() > now_s}
        if len(shown) == len(self._shown) and len(cancels) == len(self._cancels):
            return False
        self._announce(shown, cancels)
        return True

    def _announce(
        self,
        shown: "_Shown",
        cancels: dict[str, datetime],
    ) -> Manifest | None:
        now_s = self._wall()
        files = [line for _, lines in shown.values() for line, _ in lines]
        said = self._manifest(shown, cancels, now_s)
        beats = []
        if said and self._key:
            data = manifest.write(said, self._key)
            toi = self._new_toi()
            oti, symbols = code.encode(data, _snug(len(data), self._control_symbol_bytes))
            carrier = _Object(self, toi, oti, symbols, self._certificate)
            beats.append(_Beat(carrier, min(oti.source_symbols, _PACKETS_A_BEAT)))
            md5 = hashlib.md5(data, usedforsecurity=False).digest()
            files.append(fdt.File(toi, "todoke.manifest", manifest.MEDIA_TYPE, len(data), md5))
        if files:
            beats.append(self._fdt_beat(files, now_s))
        self._shown, self._cancels, self._beats = shown, cancels, beats
        self._waiting.clear()
        objects = [o for _, lines in shown.values() for _, o in lines]
        self._short = [o for o in objects if o.oti.source_symbols <= SHORT_SYMBOLS]
        self._large = deque(o for o in objects if o.oti.source_symbols > SHORT_SYMBOLS)
        return said

    def _manifest(
        self,
        shown: "_Shown",
        cancels: dict[str, datetime],
        now_s: float,
    ) -> Manifest | None:
        ends = [notice.expires for notice, _ in shown.values()] + list(cancels.values())
        if not self._key or not ends:
            return None
        self._sequence = max(self._sequence + 1, round(now_s * 1000))
        return Manifest(
            status=self._key.status,
            tsi=self.tsi,
            sequence=self._sequence,
            issued=datetime.fromtimestamp(now_s, UTC).replace(microsecond=0),
            expires=max(ends),
            notices=tuple(notice for notice, _ in shown.values()),
            cancels=tuple(cancels),
        )

    def _fdt_beat(self, files: Iterable[fdt.File], now_s: float) -> "_Beat":
        self._instance = max(self._instance + 1, int(now_s * _INSTANCES_A_SECOND))
        data = fdt.write(fdt.Fdt(int(now_s + timedelta(days=_FDT_DAYS).total_seconds()), tuple(files)))
        size = self._control_symbol_bytes
        oti = packet.NoCode(len(data), size)
        symbols = [i.to_bytes(4, "big") + data[i * size : (i + 1) * size] for i in range(oti.source_symbols)]
        carrier = _Object(self, packet.FDT_TOI, oti, symbols, self._certificate, self._instance & 0xFFFFF)
        # Half an interval apart, one burst of losses seldom takes both the manifest and the FDT.
        phase_s = self._interval_s / 2 if self._key else 0.0
        return _Beat(carrier, min(oti.source_symbols, _PACKETS_A_BEAT), phase_s)


def _newest(cancels: dict[str, datetime]) -> dict[str, datetime]:
    """As many as a manifest names. One withdrawn earlier is in no manifest any more, which hides it as well."""
    return dict(list(cancels.items())[-manifest.MAX_CANCELS :])


def _snug(length: int, most: int) -> int:
    """The shortest symbol that needs no more packets than the longest one would: a manifest is said ten times a second."""
    count = -(-length // most)
    return max(code.MIN_SYMBOL_BYTES, -(-length // count // 8) * 8)


class _Object:
    """One object's packets, sealed when first due and kept."""

    def __init__(
        self,
        session: Carousel,
        toi: int,
        oti: packet.Oti,
        symbols: Sequence[bytes],
        certificate: bytes | None = None,
        instance: int | None = None,
    ) -> None:
        self.toi = toi
        self.oti = oti
        self.due_slot = 0
        self._session = session
        self._certificate = certificate
        self._instance = instance
        self._packets = list(symbols)
        self._is_sealed = bytearray(len(symbols))
        self._cursor = 0

    def next(self) -> bytes:
        at = self._cursor
        self._cursor = (at + 1) % len(self._packets)
        if not self._is_sealed[at]:
            raw = self._packets[at]
            payload_id, symbol = int.from_bytes(raw[:4], "big"), raw[4:]
            plain = packet.Packet(
                self._session.tsi, self.toi, self.oti, payload_id, symbol, self._instance, self._certificate
            )
            self._packets[at] = self._session.seal(plain)
            self._is_sealed[at] = 1
        return self._packets[at]


class _Beat:
    """An object said at fixed intervals, some packets each time. The first time is at once; `phase_s` delays the second."""

    def __init__(self, carrier: _Object, count: int, phase_s: float = 0.0) -> None:
        self.due_s = float("-inf")
        self.phase_s = phase_s
        self._carrier = carrier
        self._count = count

    def packets(self) -> list[bytes]:
        return [self._carrier.next() for _ in range(self._count)]


_Shown = dict[str, tuple[Notice, tuple[tuple[fdt.File, _Object], ...]]]
"""By identifier: the notice, and for each of its files its line in the FDT and its packets."""
