"""What was tried through the API, by somebody with a token of their own, and what came of it."""

import socket
from urllib.parse import quote

import pytest

from tests.servers.staff_door import StaffDoor


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    door = StaffDoor(tmp_path_factory.mktemp("door"))
    door.start()
    yield door
    door.stop()


@pytest.mark.parametrize(
    "time",
    [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "2016-12-31T23:59:60Z",
        "2026-01-01t00:00:00z",
    ],
)
def test_every_moment_that_rfc_3339_can_write_has_an_answer(door, time):
    """The end of the calendar, a leap second and small letters were internal errors."""
    status, _, answer = door.ask("職員0003", "GET", f"/timeline?until={quote(time)}")
    assert status == 200
    assert bool(answer["events"]) is (time > "9999")
    status, _, answer = door.ask("職員0003", "GET", f"/alerts/{door.issued()}?at={quote(time)}")
    assert status == (200 if time > "9999" else 403), answer


@pytest.mark.parametrize("header", ["Authorization : Bearer {}", "Authorization: Bearer {}\x01", "Cookie: a={}\0"])
def test_what_is_no_http_is_refused_and_none_of_it_stands_in_a_log(door, caplog, header):
    """The server's own logger quoted the line that it could not read, token and all."""
    token = door.tokens["職員0001"]
    connection = socket.create_connection(tuple(door.door.split(":")), timeout=20)
    with connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {door.door}\r\n{header.format(token)}\r\n\r\n".encode())
        assert b" 400 " in connection.recv(100)
    assert token not in caplog.text
