"""Lanes by themselves: arithmetic that needs no database."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.channel import Limits
from dispatcher.ledgers.lanes import Lane, backoff_s, cost_of
from dispatcher.model.delivery import Priority


def lane(now: float = 0.0, **limits: float) -> Lane:
    made = Limits(**limits)  # type: ignore[arg-type]
    return Lane("mail", made, tokens=made.burst, tokens_at=now, failures=0, open_until=0.0)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), min_size=1, max_size=60),
    st.floats(0.5, 50),
    st.floats(1, 20),
)
def test_over_any_time_no_more_goes_than_the_rate_the_burst_and_one_batch(
    tries: list[tuple[float, int]], rate_per_s: float, burst: float
) -> None:
    one = lane(rate_per_s=rate_per_s, burst=burst)
    now, went, last = 0.0, 0, 0
    for pause_s, cost in tries:
        now += pause_s
        one.refill(now)
        if one.take(cost, Priority.ROUTINE, now):
            went, last = went + cost, cost
    assert went - last <= burst + rate_per_s * now + 1e-6


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(1, 3), st.sampled_from(Priority)), max_size=80))
def test_in_any_window_no_more_goes_than_the_quota_and_routine_leaves_the_reserve(
    tries: list[tuple[float, int, Priority]],
) -> None:
    one = lane(quota=10, quota_window_s=300.0, quota_reserve=4)
    now = 0.0
    went: list[tuple[float, int, Priority]] = []
    for pause_s, cost, priority in tries:
        now += pause_s
        one.spent = [(at, c) for at, c in one.spent if at > now - 300.0]
        if one.take(cost, priority, now):
            went.append((now, cost, priority))
            in_window = sum(c for at, c, _ in went if at > now - 300.0)
            assert in_window <= (6 if priority > Priority.LEVEL_4 else 10)


def test_a_batch_larger_than_the_bucket_goes_and_is_paid_for_afterwards() -> None:
    one = lane(rate_per_s=100, burst=1)
    assert one.take(500, Priority.ROUTINE, 0.0)
    one.refill(4.9)
    assert not one.take(1, Priority.ROUTINE, 4.9)
    assert 0 < one.next_look_s(4.9) < 0.2
    one.refill(5.1)
    assert one.take(1, Priority.ROUTINE, 5.1)


def test_what_is_larger_than_the_whole_quota_goes_when_nothing_else_has() -> None:
    one = lane(quota=10)
    assert one.take(11, Priority.ROUTINE, 0.0)
    assert not one.take(1, Priority.RETRACTION, 1.0)


def test_the_breaker_opens_after_failures_in_a_row_and_one_success_closes_it() -> None:
    one = lane(breaker_failures=3, breaker_open_s=15.0, concurrency=4)
    for is_success in (False, False, True, False, False):
        assert not one.heard(is_success, now=1.0)
    assert one.room(1.0) == 4
    assert one.heard(is_success=False, now=1.0)
    assert (one.room(2.0), one.room(15.9), one.room(16.1)) == (0, 0, 1)
    one.in_flight = 1
    assert one.room(16.1) == 0
    one.heard(is_success=True, now=17.0)
    assert one.room(17.0) == 3


@given(st.integers(1, 10_000), st.integers(1, 2**40))
def test_back_off_grows_to_its_longest_and_no_further(attempt: int, seed: int) -> None:
    limits = Limits(first_backoff_s=1.0, longest_backoff_s=60.0)
    assert 0.75 * min(60.0, 2.0 ** min(attempt - 1, 10)) <= backoff_s(limits, attempt, seed) <= 60.0


def test_what_is_left_costs_its_part() -> None:
    assert [cost_of(500, remaining, 500) for remaining in (500, 250, 1)] == [500, 250, 1]
    assert cost_of(1, 1, 500) == 1
