"""PostgreSQL goes away under a whole node, at once or after a crash, and comes back: everybody hears so, nothing is lost, nobody restarts it."""

import http.client
import signal
from contextlib import closing

import pytest

from dispatcher.clock import SystemClock
from tests.servers.inside import private
from tests.servers.postgres import running
from tests.servers.staff_door import StaffDoor

WITHIN_S = 30.0
CLOCK = SystemClock()


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def door(tmp_path, server):
    door = StaffDoor(tmp_path)
    door.site["ledger"] = server.database()
    door.site["safety"] = {"key": {"file": str(private(tmp_path / "safety", "s" * 44))}}
    door.start()
    yield door
    door.stop()


def get(address, path, method="GET", **headers):
    with closing(http.client.HTTPConnection(address, timeout=WITHIN_S)) as connection:
        connection.request(method, path, headers={"Host": address, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def until(holds):
    until_s = CLOCK.monotonic() + WITHIN_S
    while not holds():
        assert CLOCK.monotonic() < until_s


def taken(door, identifier):
    return sum(line.taken for line in door.run(door.node.ledger.tally(identifier)))


@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_while_the_database_is_away_everybody_hears_so_and_afterwards_all_goes_on(door, server, how, capsys):
    before = door.issued()
    until(lambda: taken(door, before))
    campaign = door.run(door.node.confirmation.start("職員0001", about="", quarters=["132040302"], kind="safety"))
    identifier, shown = door.submitted()
    residents = door.site["residents"]["listen"]
    server.stop(how)
    until(lambda: door.node.ledger.away_for_s() > 2)
    status, _, said = door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", {"mode": "drill", "hash": shown})
    assert status == 503
    assert "データベースに届きません" in said["detail"]
    status, board = get(door.door, "/")
    assert status == 503
    assert "データベースに届きません" in board
    status, data = get(door.door, "/calls", Accept="application/json")
    assert (status, "データベースに届きません" in data) == (503, True)
    status, page = get(residents, "/a/" + "a" * 26, method="POST")
    assert (status, "まだ届いていません" in page) == (503, True)
    status, site = get(residents, "/")
    assert (status, before in site) == (200, True), "who looks sees what was said"
    server.start()
    until(lambda: not door.node.ledger.away_for_s())
    status, _, said = door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", {"mode": "drill", "hash": shown})
    assert status == 200, said
    until(lambda: taken(door, identifier))
    until(lambda: door.run(door.node.ledger.campaigns.get(campaign)).body["is_enrolled"])
    assert door.run(door.node.ledger.verify()) == []
    assert "大沢" not in capsys.readouterr().err, "no word of what was being written"
