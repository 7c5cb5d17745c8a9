"""Where node and terminal meet: one topic down for all, for each quarter, for each group and each terminal; up, one a terminal.

Source: channels/ip_terminal/FORMAT.md; facts.md §IP notification terminals.
"""

from enum import StrEnum
from typing import Final

ROOT: Final = "mt/1"


def topic_of(tid: str) -> str:
    """What is meant for this terminal alone."""
    return f"{ROOT}/dn/t/{tid}"


def down_topics(tid: str, quarter: str, groups: tuple[str, ...] = ()) -> frozenset[str]:
    """Every topic that a terminal may subscribe to."""
    return frozenset(
        {f"{ROOT}/dn/all", f"{ROOT}/dn/area/{quarter}", topic_of(tid), *(f"{ROOT}/dn/grp/{g}" for g in groups)}
    )


def up_topic(tid: str) -> str:
    """What a terminal publishes to is one level below."""
    return f"{ROOT}/up/{tid}"


class Up(StrEnum):
    """What a terminal may publish, the last level of `mt/1/up/{tid}/…`."""

    RECEIPT = "rcpt"
    ANSWER = "ans"
    """An answer to a question, sealed as a receipt is."""
    STATE = "state"
    """Retained, and the will: `online`, `offline`, or words like `battery 40 %`."""
    HEARTBEAT = "hb"

    def topic(self, tid: str) -> str:
        return f"{up_topic(tid)}/{self.value}"
