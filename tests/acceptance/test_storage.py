"""Where the node keeps what it accepted: one node to a file, and a disk that is full, through the public door."""

import resource
import signal
import socket
import subprocess
import sys

import pytest

from tests.servers.headquarters import ORDER, Headquarters


@pytest.fixture
def desk(tmp_path):
    headquarters = Headquarters(tmp_path)
    headquarters.start()
    yield headquarters
    headquarters.stop()


def test_a_second_node_on_the_same_file_says_who_has_it_and_stands_by(desk):
    second = subprocess.run(
        [sys.executable, "-m", "dispatcher", "serve", str(desk.file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 6
    assert "todoke.db" in second.stderr
    assert "Traceback" not in second.stderr
    assert desk.issued(), "the first goes on as if nothing had been"


def test_the_next_node_takes_the_file_of_one_that_was_killed(desk):
    identifier = desk.issued()
    desk.stop(signal.SIGKILL)
    desk.start()
    assert desk.todoke("職員0002", "status")[0] == 0
    assert identifier in str(desk.todoke("職員0002", "status")[1])


def full(desk, is_full):
    """The system refuses to let any file of the node grow, or allows it again."""
    most = resource.RLIM_INFINITY
    largest = max(path.stat().st_size for path in desk.folder.rglob("*") if path.is_file())
    resource.prlimit(desk.process.pid, resource.RLIMIT_FSIZE, (min(4096, largest) if is_full else most, most))


def test_with_a_full_disk_nothing_is_accepted_and_nothing_is_half_written(desk):
    identifier, shown = desk.submitted()
    full(desk, True)
    code, answer = desk.todoke("職員0001", "draft", "--drill", *ORDER)
    assert code == 1
    assert answer["exit_code"] == 1
    assert "disk" in str(answer) or "ディスク" in str(answer) or "full" in str(answer), answer
    code, _ = desk.todoke("職員0002", "approve", "--drill", identifier, "--hash", shown)
    assert code == 1
    assert identifier not in desk.page()
    full(desk, False)
    waiting = desk.todoke("職員0002", "status")[1]
    assert [draft["identifier"] for draft in waiting["drafts"]] == [identifier]
    assert desk.todoke("職員0002", "approve", "--drill", identifier, "--hash", shown)[0] == 0
    assert desk.todoke("職員0002", "watch", identifier, "--timeout", "30")[0] == 0
    assert identifier in desk.page()
    assert desk.todoke("職員0002", "audit", "verify")[0] == 0


def test_an_address_that_is_taken_is_one_clear_line(tmp_path):
    headquarters = Headquarters(tmp_path)
    host, port = headquarters.url.removeprefix("http://").split(":")
    with socket.create_server((host, int(port))):
        done = subprocess.run(
            [sys.executable, "-m", "dispatcher", "serve", str(headquarters.file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
