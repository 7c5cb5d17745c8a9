"""Every way in which Todoke says no, as one tree, so that the doors translate by class alone.

    TodokeError
    ├── Refused                a rule said no; the text is for staff
    │   ├── InvalidInput         what was typed or sent is not acceptable; every finding at once
    │   ├── Unauthenticated      nobody, or nobody known
    │   │   └── Throttled          too many wrong answers: come again after `retry_after_s`
    │   ├── NotFound             no such draft, alert, channel
    │   ├── StaleHash            what was approved is not what stands there now
    │   └── Standby              this node may not, another one does
    ├── ChannelError           one medium failed; caught in steps/send.py only
    │   ├── TemporaryFailure     try again after `retry_after_s`
    │   └── PermanentFailure     do not try again
    ├── StorageFull            the disk took nothing, so nothing was accepted
    ├── Defect                 our own mistake: alarm, never a retry
    │   ├── IllegalTransition    a state machine was asked for a move that its table does not have
    │   └── ModeLeak             live met drill
    └── ConfigError            before start only (config/document.py): all problems, `file:line: path: reason`

Source: exit codes, design.md §9.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from config.document import ConfigError

__all__ = [
    "ChannelError",
    "ConfigError",
    "Defect",
    "Finding",
    "IllegalTransition",
    "InvalidInput",
    "ModeLeak",
    "NotFound",
    "PermanentFailure",
    "Refused",
    "StaleHash",
    "Standby",
    "StorageFull",
    "TemporaryFailure",
    "Throttled",
    "TodokeError",
    "Unauthenticated",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with what was given.

    `where` names the field (`info[ja].headline`, `area`), `reason` says what is wrong and what is accepted.
    A finding with `blocks` False is to be checked by a person and does not stop the message.
    """

    where: str
    reason: str
    blocks: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class TodokeError(Exception):
    """Root of the tree. `exit_code` for the command line, `http_status` for the HTTP doors."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class Refused(TodokeError):  # noqa: N818 - reads as what it is: the desk refused
    """A rule said no. The text is shown to staff as it stands."""

    exit_code = 5
    http_status = 403


class InvalidInput(Refused):
    """What was given cannot be accepted; `findings` lists every reason, in the order of the fields."""

    exit_code = 2
    http_status = 422

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.findings = tuple(findings)


class Unauthenticated(Refused):
    exit_code = 7
    http_status = 401


class Throttled(Unauthenticated):
    """Too many wrong answers, or too many people at once: nothing was looked at. Come again after `retry_after_s`."""

    http_status = 429

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            f"試行が多すぎます。{retry_after_s:.0f}秒たってから、もう一度行ってください "
            f"(too many attempts; try again in {retry_after_s:.0f} s)"
        )
        self.retry_after_s = retry_after_s


class NotFound(Refused):
    exit_code = 2
    http_status = 404


class StaleHash(Refused):
    exit_code = 9
    http_status = 409


class Standby(Refused):
    exit_code = 6
    http_status = 503


class ChannelError(TodokeError):
    """One medium failed, in its own words. Never reaches a door."""


class TemporaryFailure(ChannelError):  # noqa: N818 - the contract's word
    """Nothing was sent; try again after `retry_after_s` (None: the lane's own back-off)."""

    def __init__(self, words: str, retry_after_s: float | None = None) -> None:
        super().__init__(words)
        self.retry_after_s = retry_after_s


class PermanentFailure(ChannelError):  # noqa: N818 - the contract's word
    """Nothing was sent; trying again would not help."""


class StorageFull(TodokeError):  # noqa: N818 - says what was seen
    """The disk took nothing: nothing was accepted and nothing half written."""

    http_status = 507


class Defect(TodokeError):  # noqa: N818 - the tree's word for our own mistake
    """Our own mistake: alarm, never a retry."""


class IllegalTransition(Defect):
    pass


class ModeLeak(Defect):
    pass
