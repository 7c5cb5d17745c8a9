"""Packets become files again, in fixed memory, whatever arrives.

The cheapest question first: who sent it, which session, do its lengths fit, do we have it already; only then a token for
strangers, then the signature, then the decoder. With trust, nothing reaches the decoder unsigned and nothing is delivered
that the newest signed manifest does not list; what was recorded earlier and is played back has an old sequence or has
expired. Without trust this is a plain FLUTE receiver, which believes the FDT and can only bound the damage.

Pure: datagrams in, events out; `receiver.py` adds the socket.

Source: facts.md §Wi-Fi multicast "Threats", "Authentication"; RFC 6726 §3.4, §7 (security).
"""

import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from multicast import code, fdt, manifest, packet
from multicast.fdt import BadFdt
from multicast.keys import Trust
from multicast.manifest import BadManifest, Manifest, Notice
from multicast.pacing import TokenBucket

_MAX_SOURCES: Final = 16
_MAX_DONE: Final = 4096
_MAX_EARLY: Final = 256  # datagrams whose signer's certificate has not come yet
_SYMBOL_OVERHEAD_BYTES: Final = 150  # what Python adds to each symbol kept


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a receiver spends at most, whoever sends whatever."""

    objects: int = 64
    """In progress at the same time."""
    reserved_bytes: int = 36_000_000
    """For the symbols of objects in progress, each counted whole from its first symbol on, so that those begun can end.
    Decoding takes two objects' size on top."""
    delivered_bytes: int = 100_000_000
    """In all, without trust: a stranger may not fill a disk."""
    stranger_checks_s: float = 500.0
    stranger_burst: float = 1000.0
    """Signatures looked at from sources that have never sent a good one."""
    known_checks_s: float = 5000.0
    known_burst: float = 10_000.0
    """The same from a source that has."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A newer manifest is believed. `signed` is the manifest as it came, for whoever wants to check it again."""

    manifest: Manifest
    signed: bytes


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file is whole and proved. `notice` is None on a plain session, where nothing is proved but its MD5."""

    toi: int
    name: str
    media_type: str
    content: bytes
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The sender has withdrawn this notice: hide it."""

    identifier: str


Event = Announced | Delivered | Cancelled


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the catalogue says an object must be."""

    name: str
    media_type: str
    length: int
    sha256: str | None
    md5: bytes | None
    notice: Notice | None


class _Partial:
    """An object in progress."""

    def __init__(self, oti: packet.RaptorQ) -> None:
        self.oti = oti
        self.symbols: dict[int, bytes] = {}
        self.reserved_bytes = (oti.source_symbols + code.MOST_EXTRA_SYMBOLS) * (
            oti.symbol_bytes + _SYMBOL_OVERHEAD_BYTES
        )
        self.is_no_manifest = False

    @property
    def is_enough(self) -> bool:
        return len(self.symbols) >= self.oti.source_symbols

    @property
    def is_full(self) -> bool:
        return len(self.symbols) >= self.oti.source_symbols + code.MOST_EXTRA_SYMBOLS


class _Refused(Exception):  # noqa: N818 - says what was seen
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reassembly:
    """One session of one group, as one receiver sees it.

    `trust`: whom it believes; None is a plain FLUTE receiver. `source`: the only address listened to; None is any.
    `last_sequence`: of the newest manifest believed before, so that an older one stays refused after a restart.
    `wall` gives UNIX seconds, `clock` monotonic ones.
    """

    def __init__(
        self,
        *,
        tsi: int,
        trust: Trust | None,
        wall: Callable[[], float],
        clock: Callable[[], float],
        source: str | None = None,
        last_sequence: int = 0,
        bounds: Bounds | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self.packets = 0
        self.refused: Counter[str] = Counter()
        """How many packets, manifests and objects were not accepted, by reason; the reasons are few and fixed."""
        self.manifest: Manifest | None = None
        self.last_sequence = last_sequence
        self._tsi = tsi
        self._trust = trust
        self._wall = wall
        self._clock = clock
        self._source = source
        self._wanted: dict[int, _Wanted] = {}
        self._has_catalogue = False
        self._partials: OrderedDict[int, _Partial] = OrderedDict()
        self._reserved_bytes = 0
        self._done: OrderedDict[int, None] = OrderedDict()
        self._cancelled: frozenset[str] = frozenset()
        self._delivered_bytes = 0
        self._fdts = fdt.Assembly()
        self._strangers = TokenBucket(self.bounds.stranger_checks_s, self.bounds.stranger_burst, clock)
        self._known: OrderedDict[str, TokenBucket] = OrderedDict()
        self._early: deque[tuple[bytes, str]] = deque(maxlen=_MAX_EARLY)

    @property
    def is_complete(self) -> bool:
        """Everything that the catalogue lists now has been delivered."""
        return self._has_catalogue and all(toi in self._done for toi in self._wanted)

    @property
    def listed(self) -> frozenset[int]:
        """The TOIs that the catalogue lists now."""
        return frozenset(self._wanted)

    @property
    def reserved_bytes(self) -> int:
        """What objects in progress may come to take, at most `bounds.reserved_bytes`."""
        return self._reserved_bytes

    def push(self, datagram: bytes, source: str = "") -> list[Event]:
        """Take one datagram. Never raises for what is in it; mostly returns nothing."""
        self.packets += 1
        try:
            if not self._is_of_interest(datagram, source):
                return []
            read = packet.read(datagram)
            if read.toi == packet.FDT_TOI:
                return self._take_fdt(datagram, read, source)
            if not self._is_new(read):
                return []
            learnt = self._trust is not None and self._authenticate(self._trust, datagram, read, source)
            events = self._take_symbol(read)
            return events + self._take_early() if learnt else events
        except packet.Malformed:
            self.refused["malformed"] += 1
        except _Refused as refused:
            self.refused[refused.reason] += 1
        return []

    def _is_of_interest(self, datagram: bytes, source: str) -> bool:
        if self._source is not None and source != self._source:
            raise _Refused("another source")
        tsi, toi = packet.address(datagram)
        if tsi != self._tsi:
            raise _Refused("another session")
        return toi not in self._done

    def _is_new(self, read: packet.Packet) -> bool:
        if not isinstance(read.oti, packet.RaptorQ) or not code.is_ours(read.oti):
            raise _Refused("another code")
        partial = self._partials.get(read.toi)
        if partial and partial.oti != read.oti:
            raise _Refused("contradiction")
        return not partial or not (read.payload_id in partial.symbols or partial.is_full)

    def _authenticate(self, trust: Trust, datagram: bytes, read: packet.Packet, source: str) -> bool:
        """Whether the packet also taught us its sender's key.

        Raises:
            _Refused: it is not proved to be from a sender whom we believe.
        """
        key_id = packet.key_id(datagram, read)
        if key_id is None:
            raise _Refused("unsigned")
        now_s = self._wall()
        bucket = self._known.get(source, self._strangers)
        sender = trust.sender(key_id, now_s)
        was_known = sender is not None
        if not sender and read.certificate and trust.is_new(read.certificate) and bucket.take():
            trust.admit(read.certificate, now_s)
            sender = trust.sender(key_id, now_s)
        if not sender:
            self._early.append((datagram, source))
            raise _Refused("unknown key")
        if not bucket.take():
            raise _Refused("too many to check")
        if not packet.is_signed_by(datagram, read, sender.verify):
            raise _Refused("forged")
        if source not in self._known:
            if len(self._known) >= _MAX_SOURCES:
                self._known.popitem(last=False)
            self._known[source] = TokenBucket(self.bounds.known_checks_s, self.bounds.known_burst, self._clock)
        return not was_known

    def _take_early(self) -> list[Event]:
        """Look again at what came before the key that signed it was known."""
        early = tuple(self._early)
        self._early.clear()
        self.packets -= len(early)
        return [event for datagram, source in early for event in self.push(datagram, source)]

    # Objects

    def _take_symbol(self, read: packet.Packet) -> list[Event]:
        assert isinstance(read.oti, packet.RaptorQ)
        partial = self._partials.get(read.toi)
        if partial is None:
            partial = _Partial(read.oti)
            self._make_room(partial.reserved_bytes)
            self._partials[read.toi] = partial
            self._reserved_bytes += partial.reserved_bytes
        partial.symbols[read.payload_id] = read.symbol
        self._partials.move_to_end(read.toi)
        return self._try_decode(read.toi, partial) if partial.is_enough else []

    def _make_room(self, needed_bytes: int) -> None:
        """Let go of objects that no catalogue lists, the longest idle first; what is listed stays until it is whole."""
        while (
            self._reserved_bytes + needed_bytes > self.bounds.reserved_bytes
            or len(self._partials) >= self.bounds.objects
        ):
            idle = next((toi for toi in self._partials if toi not in self._wanted), None)
            if idle is None:
                raise _Refused("no room")
            self._forget(idle)

    def _forget(self, toi: int) -> None:
        self._reserved_bytes -= self._partials.pop(toi).reserved_bytes

    def _finish(self, toi: int) -> None:
        if toi in self._partials:
            self._forget(toi)
        self._done[toi] = None
        # A TOI of the catalogue must stay known as done, or it would be received and delivered a second time.
        while len(self._done) > _MAX_DONE:
            self._done.popitem(last=False)

    def _try_decode(self, toi: int, partial: _Partial) -> list[Event]:
        wanted = self._wanted.get(toi)
        may_be_manifest = (
            self._trust is not None
            and not partial.is_no_manifest
            and partial.oti.transfer_bytes <= manifest.MAX_MANIFEST_BYTES
        )
        if not wanted and not may_be_manifest:
            return []
        content = code.decode(partial.oti, partial.symbols)
        if content is None:
            if partial.is_full:
                self._forget(toi)
                raise _Refused("undecodable")
            return []
        if wanted:
            return self._deliver(toi, wanted, content)
        if manifest.is_manifest(content):
            self._finish(toi)
            return self._take_manifest(content)
        partial.is_no_manifest = True
        return []

    def _deliver(self, toi: int, wanted: _Wanted, content: bytes) -> list[Event]:
        if not _is_as_listed(wanted, content):
            self._forget(toi)
            raise _Refused("contradiction")
        if wanted.notice and wanted.notice.expires.timestamp() <= self._wall():
            self._finish(toi)
            raise _Refused("expired")
        if not self._trust and self._delivered_bytes + len(content) > self.bounds.delivered_bytes:
            self._forget(toi)
            raise _Refused("no room")
        self._delivered_bytes += len(content)
        self._finish(toi)
        return [Delivered(toi, wanted.name, wanted.media_type, content, wanted.notice)]

    def _deliver_what_waited(self) -> list[Event]:
        events: list[Event] = []
        for toi, partial in tuple(self._partials.items()):
            if toi in self._wanted and partial.is_enough:
                try:
                    events.extend(self._try_decode(toi, partial))
                except _Refused as refused:  # this object; the others are none the worse
                    self.refused[refused.reason] += 1
        return events

    # Catalogues

    def _take_manifest(self, content: bytes) -> list[Event]:
        assert self._trust
        try:
            said = manifest.read(content, self._trust, self._wall())
        except BadManifest as error:
            raise _Refused("bad manifest") from error
        if said.tsi != self._tsi:
            raise _Refused("bad manifest")
        if said.sequence < self.last_sequence or (self.manifest and said.sequence == self.manifest.sequence):
            raise _Refused("old manifest")
        self.manifest, self.last_sequence = said, said.sequence
        now_s = self._wall()
        self._wanted = {
            toi: _Wanted(entry.name, entry.media_type, entry.length, entry.sha256, None, notice)
            for toi, (notice, entry) in said.entries.items()
            if notice.expires.timestamp() > now_s
        }
        self._has_catalogue = True
        events: list[Event] = [Announced(said, content)]
        events.extend(Cancelled(identifier) for identifier in said.cancels if identifier not in self._cancelled)
        self._cancelled = frozenset(said.cancels)
        return events + self._deliver_what_waited()

    def _take_fdt(self, datagram: bytes, read: packet.Packet, source: str) -> list[Event]:
        if self._trust:
            # An FDT proves nothing: only the sender's certificate matters, and only while we do not know it.
            if read.certificate and self._trust.is_new(read.certificate):
                learnt = self._authenticate(self._trust, datagram, read, source)
                return self._take_early() if learnt else []
            return []
        try:
            table = self._fdts.take(read)
        except BadFdt as error:
            raise _Refused("bad FDT") from error
        if table is None:
            return []
        if table.expires_s <= self._wall():
            raise _Refused("expired")
        listed = {
            file.toi: _Wanted(file.location, file.media_type, file.length, None, file.md5, None)
            for file in table.files
            if file.media_type != manifest.MEDIA_TYPE
        }
        self._wanted = listed if table.is_full else dict([*self._wanted.items(), *listed.items()][-fdt.MAX_FILES :])
        self._has_catalogue = True
        return self._deliver_what_waited()


def _is_as_listed(wanted: _Wanted, content: bytes) -> bool:
    if len(content) != wanted.length:
        return False
    if wanted.sha256 is not None:
        return hashlib.sha256(content).hexdigest() == wanted.sha256
    return wanted.md5 is None or hashlib.md5(content, usedforsecurity=False).digest() == wanted.md5
