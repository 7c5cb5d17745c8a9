"""A disk that fills while people are asked whether they are safe: everybody hears so, nothing is half done, all goes on once there is room."""

import asyncio
from contextlib import closing

import pytest

from channels.ip_terminal.topics import topic_of
from tests.servers.asking_city import APPROVER, ASKING, WELFARE, WRITER, City, roster, token_of
from tests.servers.mqtt import Wire
from tests.servers.small_disk import fill, small_disk

PEOPLE = 1200


async def a_terminal_comes_back(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        wire = Wire(reader, writer, 4)
        await wire.log_in("T0001")
        await wire.subscribe(topic_of("T0001"))


@pytest.fixture
def city(tmp_path):
    city = City(tmp_path)
    with small_disk(city.site, size_mb=8):
        city.start()
        yield city
        city.stop()


def test_a_disk_that_is_full_while_a_city_is_asked_loses_nothing_and_says_so(city):
    status, tried = city.ask(WELFARE, "POST", "/roster/check", {"csv": roster(PEOPLE)})
    assert status == 200, tried
    import_ = {"mode": "drill", "csv": roster(PEOPLE), "fingerprint": tried["fingerprint"]}
    with city.full_disk():
        status, said = city.ask(WELFARE, "PUT", "/roster", import_)
        assert (status, said["type"].rpartition("/")[2]) == (507, "storage-full"), said
    assert city.look("SELECT count(*) FROM records WHERE kind = 'roster'") == [(0,)]
    status, said = city.ask(WELFARE, "PUT", "/roster", import_)
    assert (status, said["new"]) == (200, PEOPLE), said

    with city.full_disk():
        assert city.ask(WRITER, "POST", "/safety", ASKING)[0] == 507
    assert city.look("SELECT count(*) FROM campaigns") == [(0,)]
    status, began = city.ask(WRITER, "POST", "/safety", ASKING)
    assert status == 201, began
    assert city.ask(APPROVER, "POST", f"/waiting/{began['waits_as']}", {"mode": "drill"})[0] == 200
    city.until("SELECT count(*) > 0 FROM asked", (1,))
    mine = token_of(city.keys(), 1)
    with city.full_disk():
        status, page = city.tap(mine, "help")
        assert status == 503
        assert "まだ届いていません" in page
        assert "119" in page
    assert city.look("SELECT count(*) FROM replies") == [(0,)]
    city.until("SELECT count(*) FROM asked", (PEOPLE,))
    city.until("SELECT count(*) > 0 FROM deliveries WHERE key LIKE '%/rung/%' AND state = 'waiting'", (1,))
    status, page = city.tap(mine, "help")
    assert status == 200, page
    assert city.look("SELECT count(*) FROM replies") == [(1,)]

    identifier, shown = city.submitted()
    ballast = city.site / "ballast"
    fill(ballast)
    approval = {"mode": "drill", "hash": shown}
    assert city.ask(APPROVER, "POST", f"/drafts/{identifier}/approve", approval)[0] == 200
    city.until("SELECT count(*) > 0 FROM tallies WHERE channel = 'website' AND last_words <> ''", (1,))
    assert identifier not in city.page()
    ballast.unlink()
    city.until("SELECT state FROM deliveries WHERE channel = 'website'", ("taken",))
    assert identifier in city.page()

    city.until("SELECT state FROM deliveries WHERE channel = 'ip_terminal'", ("waiting",))
    with city.full_disk():
        asyncio.run(a_terminal_comes_back(city.terminals))
        assert city.says("ip_terminal: StorageFull"), "the node ended"
    assert city.process.poll() is None
