"""Whatever happens in whatever order, a delivery's state follows the table, counts add up and the audit finds nothing.

The statements are driven directly, on a database in memory: hundreds of histories in the time that one takes on a disk.
"""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispatcher.channel import Limits
from dispatcher.clock import ManualClock
from dispatcher.ledger import Attempted, Claim
from dispatcher.ledgers import alerts, answers, audit, beat, looking
from dispatcher.ledgers.chain import Head
from dispatcher.ledgers.dialect import Sqlite
from dispatcher.ledgers.leases import Leases
from dispatcher.ledgers.opening import Identity, create, take_place
from dispatcher.ledgers.transaction import Transaction
from dispatcher.ledgers.turn import turn
from dispatcher.model.delivery import TRANSITIONS, DeliveryState, Outcome, Told
from dispatcher.model.mode import Drill
from tests.contracts.ledger_contract import ALERT, START, deliveries, issued, said

LIMITS = {"website": Limits(concurrency=5, first_backoff_s=1.0, longest_backoff_s=4.0, breaker_failures=3)}
ME = Identity("hq", "hq-1", 3.0)
REACHABLE = {
    start: {after for (before, _), after in TRANSITIONS.items() if before == start} | {start} for start in DeliveryState
}
for _ in DeliveryState:  # several moves may lie between two looks
    for start, ends in REACHABLE.items():
        REACHABLE[start] = ends.union(*(REACHABLE[end] for end in ends))


class Histories(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.engine = sa.create_engine("sqlite://")
        self.connection = self.engine.connect()
        self.dialect = Sqlite()
        self.at: datetime = START
        self.leases = Leases(ME.lease_s, ManualClock(START))
        self.running: list[Claim] = []
        self.states: dict[int, DeliveryState] = {}
        self.issued = 0
        self.is_superseded = False
        with self.connection.begin():
            create(self.connection, self.dialect, Drill, "memory")
            head = take_place(self.connection, self.dialect, ME, None)
        assert head is not None
        self.head: Head = head
        self.write(beat.prepare, limits=LIMITS)
        self.write(alerts.issue, alert=issued(), first=[], event=said(), supersedes=[], follows=None, draft=None)

    def write(self, work: Any, **arguments: Any) -> Any:
        with self.connection.begin():
            t = Transaction(self.connection, self.dialect, self.head, self.at)
            result = work(t, **arguments)
            t.flush()
        self.head = t.head
        return result

    @rule(
        count=st.integers(1, 6),
        size=st.integers(1, 3),
        lasts_s=st.sampled_from([None, 2, 20]),
        later_s=st.sampled_from([0, 5]),
    )
    def add(self, count: int, size: int, lasts_s: int | None, later_s: int) -> None:
        self.issued += 1
        new = deliveries(
            count,
            channel="website",
            size=size,
            expires_at=None if lasts_s is None else self.at + timedelta(seconds=lasts_s),
            not_before=self.at + timedelta(seconds=later_s) if later_s else None,
        )
        keyed = [type(d)(**{f: getattr(d, f) for f in d.__slots__} | {"key": f"{self.issued}:{d.key}"}) for d in new]
        self.write(alerts.add_deliveries, rows=alerts.delivery_rows(keyed))

    @rule(data=st.data(), slots=st.integers(0, 8))
    def take_a_turn(self, data: st.DataObject, slots: int) -> None:
        ended = [c for c in self.running if data.draw(st.booleans())]
        finished = [self._ended(claim, data) for claim in ended]
        self.running = [c for c in self.running if c not in ended]
        self.running += self.write(
            turn, owner=ME.incarnation, limits=LIMITS, finished=finished, slots=slots
        ).claimed.claims

    @staticmethod
    def _ended(claim: Claim, data: st.DataObject) -> Attempted:
        event = data.draw(st.sampled_from(["taken", "deferred", "refused", "expired", "superseded"]))
        answers = st.sampled_from([Outcome.TAKEN] if event == "taken" else list(Outcome))
        told = [Told(d.address, data.draw(answers), "words") for d in claim.destinations]
        if event != "taken":
            told = told[: data.draw(st.integers(0, len(told)))]
        return Attempted(claim, event, words="", is_success=data.draw(st.booleans()), told=told)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.running))
        outcome = data.draw(st.sampled_from(Outcome))
        self.write(
            answers.tell,
            told=[(claim, Told(claim.destinations[0].address, outcome, "early"))] if claim.destinations else [],
        )

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """The process dies with some of its claims, or their commit's reply was lost."""
        lost = [c for c in self.running if data.draw(st.booleans())]
        self.running = [c for c in self.running if c not in lost]
        held = frozenset(int(c.token) for c in self.running)
        suspects = self.write(
            beat.beat, me=ME, leases=self.leases, limits=LIMITS, running=held, suspects=frozenset()
        ).suspects
        assert suspects == {int(c.token) for c in lost} or suspects < {int(c.token) for c in lost}
        self.write(beat.beat, me=ME, leases=self.leases, limits=LIMITS, running=held, suspects=suspects)

    @rule(by_s=st.sampled_from([0.5, 3.0, 30.0]))
    def time_passes(self, by_s: float) -> None:
        self.at += timedelta(seconds=by_s)

    @rule()
    def hasten(self) -> None:
        self.write(beat.hasten, channels=["website"])

    @precondition(lambda self: not self.is_superseded)
    @rule()
    def supersede(self) -> None:
        self.is_superseded = True
        self.write(
            alerts.issue,
            alert=issued("b"),
            first=[],
            event=said(subject="b"),
            supersedes=[ALERT],
            follows=None,
            draft=None,
        )

    @invariant()
    def every_move_is_in_the_table(self) -> None:
        if not hasattr(self, "connection"):
            return
        with self.connection.begin():
            rows = self.connection.execute(sa.text("SELECT id, state FROM deliveries")).all()
        for delivery, state in rows:
            before = self.states.get(delivery)
            assert before is None or state in REACHABLE[before], f"{before} to {state}"
            self.states[delivery] = DeliveryState(state)

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        if hasattr(self, "connection"):
            with self.connection.begin():
                assert audit.verify(self.connection) == []

    @invariant()
    def everybody_is_counted_once(self) -> None:
        if not hasattr(self, "connection"):
            return
        with self.connection.begin():
            lines = looking.tally(self.connection, ALERT)
            still = self.connection.execute(
                sa.text(
                    "SELECT coalesce(sum(size - (SELECT count(*) FROM outcomes WHERE delivery = id AND is_final)), 0)"
                    " FROM deliveries WHERE state IN ('ready', 'waiting', 'sending')"
                )
            ).scalar_one()
        for line in lines:
            assert line.taken + line.failed + line.superseded + still == line.destinations

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
            self.engine.dispose()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
