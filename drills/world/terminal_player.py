"""What a terminal does with what it hears, without I/O: refuse, interrupt, wait, repeat, keep for replay.

Priority 1 interrupts everything; ties are served first come. A message takes the place of every earlier one of its thread, so a
取消 is never followed by the order that it takes back. Level 4 and 5 sound at maximum volume whatever the volume is set to.

What is kept for replay is shown as what it is: where a newer message has taken its place, or its time is over, it says so and
nobody can acknowledge it. A replay never silences what is current: that sounds on, and comes back to the screen as it does.

Source: facts.md §IP notification terminals "What buyers ask for".
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from channels.ip_terminal.notice import Forged, Notice, Verifier

REPLAYS = 6
THREADS = 1000
"""Remembered at most, the oldest forgotten first: their notices have long expired."""
MAXIMUM_FROM_LEVEL = 4
FIRST_PRIORITY = 1
REPEAT_EVERY_S = 60.0
REPEATS = 10
"""Unanswered, a notice sounds that often in all."""


class Volume(StrEnum):
    SET = "set"
    """As the people here have set it."""
    MAXIMUM = "maximum"


class Refusal(StrEnum):
    FORGED = "forged"
    OTHER_MODE = "other mode"
    EXPIRED = "expired"
    OLD = "old"


class Refused(Exception):  # noqa: N818 - says what was seen
    """The terminal shows nothing of it. `why` is one of the four reasons, the text says more."""

    def __init__(self, why: Refusal, words: str) -> None:
        super().__init__(words)
        self.why = why


@dataclass(slots=True)
class Playing:
    """One notice at this terminal."""

    notice: Notice
    volume: Volume
    heard_at: datetime
    sounded: int = 0
    is_acknowledged: bool = False
    is_replaced: bool = False
    """A newer message of its thread has come."""


class Player:
    """One terminal's screen and speaker. `now` is the terminal's own clock; `status` is the only CAP status it plays."""

    def __init__(self, trust: bytes, now: Callable[[], datetime], status: str | None = None) -> None:
        self._verifier = Verifier(trust)
        self._now = now
        self._status = status
        self._newest: dict[str, tuple[int, str]] = {}
        self._waiting: list[Playing] = []
        self.current: Playing | None = None
        """What sounds, and stands on the screen unless something is replayed."""
        self._replayed: Playing | None = None
        self.kept: deque[Playing] = deque(maxlen=REPLAYS)
        """The last six, newest first."""

    def hear(self, payload: bytes) -> Playing | None:
        """Take a payload; returns the notice where it is new, None where it is here already.

        Raises:
            Refused: forged, of the other mode, expired or old.
        """
        try:
            notice = self._verifier.read(payload)
        except Forged as forged:
            raise Refused(Refusal.FORGED, str(forged)) from None
        if self._status is not None and notice.status != self._status:
            raise Refused(Refusal.OTHER_MODE, f"{notice.status}, and this terminal plays {self._status}")
        if notice.expires <= self._now():
            raise Refused(Refusal.EXPIRED, f"{notice.mid} ended {notice.expires.isoformat()}")
        seq, mid = self._newest.get(notice.thread, (-1, ""))
        if mid == notice.mid:
            return None
        if notice.seq < seq or any(p.notice.mid == notice.mid for p in self.kept):
            raise Refused(Refusal.OLD, f"{notice.mid} was replaced by {mid}")
        return self._play(notice)

    def acknowledge(self, mid: str) -> None:
        """Somebody pressed 確認: it falls silent and what waited comes up."""
        self._replayed = None
        for playing in (self.current, *self._waiting, *self.kept):
            if playing is not None and playing.notice.mid == mid:
                playing.is_acknowledged = True
        if self.current is not None and self.current.is_acknowledged and self._waiting:
            self.current = self._waiting.pop(0)

    def look(self) -> None:
        """Take down what has ended meanwhile."""
        now = self._now()
        self._waiting = [playing for playing in self._waiting if playing.notice.expires > now]
        if self.current is not None and self.current.notice.expires <= now:
            self.current = self._waiting.pop(0) if self._waiting else None

    def replay(self, number: int) -> Playing | None:
        """Bring the newest (1) to the sixth newest (6) back to the screen."""
        if not 1 <= number <= len(self.kept):
            return None
        self._replayed = self.kept[number - 1]
        return self._replayed

    def end_replay(self) -> None:
        """Back to what is current."""
        self._replayed = None

    def holds(self, playing: Playing) -> bool:
        """Nothing has taken its place, and its time is not over."""
        return not playing.is_replaced and playing.notice.expires > self._now()

    def sound(self) -> Playing | None:
        """What the speaker says now, counted; None where there is nothing left to say."""
        self.look()
        playing = self.current
        if playing is None or playing.is_acknowledged or playing.sounded >= REPEATS:
            return None
        playing.sounded += 1
        self._replayed = None
        return playing

    @property
    def on_screen(self) -> Playing | None:
        return self._replayed or self.current

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def _play(self, notice: Notice) -> Playing:
        self._newest.pop(notice.thread, None)
        while len(self._newest) >= THREADS:
            del self._newest[next(iter(self._newest))]
        self._newest[notice.thread] = (notice.seq, notice.mid)
        for earlier in self.kept:
            earlier.is_replaced |= earlier.notice.thread == notice.thread
        self._replayed = None
        is_loud = (notice.level or 0) >= MAXIMUM_FROM_LEVEL or notice.priority <= FIRST_PRIORITY
        playing = Playing(notice, Volume.MAXIMUM if is_loud else Volume.SET, self._now())
        self.kept.appendleft(playing)
        self.look()
        before = [self.current] if self.current is not None and not self.current.is_acknowledged else []
        line = [p for p in (*before, *self._waiting) if p.notice.thread != notice.thread] + [playing]
        # Python sorts stably: within a priority, first come stays first.
        self.current, *self._waiting = sorted(line, key=lambda p: p.notice.priority)
        return playing
