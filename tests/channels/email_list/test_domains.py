"""Receiving domains that want to be treated gently, on a clock that only the test moves."""

import pytest

from channels.email_list.domains import Domains
from dispatcher.clock import ManualClock
from tests.samples import SENT

DOCOMO = "docomo.ne.jp"


def test_a_domain_gets_no_more_than_its_rate_and_others_do_not_wait():
    clock = ManualClock(SENT)
    domains = Domains({DOCOMO: 2.0}, 60.0, clock)
    assert [domains.wait_s(DOCOMO) for _ in range(2)] == [0.0, 0.0]
    assert domains.wait_s(DOCOMO) > 0
    assert domains.wait_s("example.jp") == 0.0
    clock.advance(1.0)
    assert [domains.wait_s(DOCOMO) > 0 for _ in range(3)] == [False, False, True]


def test_a_domain_that_said_later_is_left_alone_for_a_while():
    clock = ManualClock(SENT)
    domains = Domains({}, 60.0, clock)
    domains.said_later("gmail.com")
    assert domains.wait_s("gmail.com") == 60.0
    clock.advance(60.5)
    assert domains.wait_s("gmail.com") == 0.0
    assert not domains._quiet_until_s


@pytest.mark.parametrize("rate", [0.5, 1.0, 20.0])
def test_deliveries_take_turns_and_none_is_tried_in_vain(rate):
    """A thousand addresses in ten deliveries: each attempt finds a full allowance, and the rate is used up."""
    clock = ManualClock(SENT)
    domains = Domains({DOCOMO: rate}, 60.0, clock)
    left = dict.fromkeys(range(10), 100)
    due = dict.fromkeys(left, 0.0)
    in_vain = attempts = 0
    while due:
        number = min(due, key=due.get)
        clock.advance(max(0.0, due[number] - clock.monotonic()))
        attempt, sent, wait_s = domains.attempt(), 0, 0.0
        for _ in range(left[number]):
            wait_s = attempt.wait_s(DOCOMO)
            sent += wait_s == 0
        attempts += 1
        in_vain += sent == 0
        left[number] -= sent
        if left[number]:
            due[number] = clock.monotonic() + wait_s + 1e-6
        else:
            del due[number]
    burst = max(1.0, rate)
    assert in_vain <= 10
    assert attempts <= 1000 / burst + 20
    assert clock.monotonic() <= 1000 / rate * 1.1
