"""The folder on the disk: whole after kill -9, on a full disk, beside a damaged file, and never of the other mode."""

import gzip
import json
import signal
import subprocess
import sys

import pytest

from channels.website import Settings, Website
from dispatcher import cap
from dispatcher.errors import ModeLeak
from dispatcher.model.mode import Drill, Live
from tests.channels.website.site import ORDER, RETRACTED
from tests.contracts.channel_contract import surroundings

PUBLISHING = """
import sys
from pathlib import Path
from channels.website import Settings, Website
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import surroundings
from tests.samples import correction, evacuation_order
channel = Website(Drill, Settings(folder=Path(sys.argv[1]), url="http://x"), surroundings(Path(sys.argv[1] + "-state")))
number = 0
while True:
    order = evacuation_order(Drill, identifier=f"n{number}")
    for alert in (order, correction(order)):
        channel._publisher.publish(channel.render(alert, None))
    print(number, flush=True)
    number += 1
"""


def test_after_kill_9_every_file_is_whole_and_what_was_published_is_there(tmp_path):
    folder = tmp_path / "site"
    for kill in range(4):
        process = subprocess.Popen([sys.executable, "-c", PUBLISHING, folder], stdout=subprocess.PIPE, text=True)
        for _ in range(kill + 1):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        done = [*range(kill + 1), *map(int, process.stdout.read().split())]
        process.stdout.close()
        process.wait()
        listed = {a["identifier"] for a in json.loads((folder / "alerts.json").read_bytes())["alerts"]}
        assert {f"n{n}-2" for n in done} <= listed
        for path in folder.rglob("*"):
            if path.suffix == ".gz" and not path.name.startswith("."):
                assert gzip.decompress(path.read_bytes())
            if path.suffix == ".xml" and path.parent.name == "cap" and not path.name.startswith("."):
                assert cap.check(path.read_bytes()).is_valid
        channel = Website(Drill, Settings(folder=folder, url="http://x"), surroundings(tmp_path / "s"))
        channel._publisher.rebuild()
        for path in folder.rglob("*.html"):
            assert "</html>" in path.read_text()


FULL = """
import resource, sys
from pathlib import Path
from channels.website import Settings, Website
from dispatcher.errors import TemporaryFailure
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import surroundings
from tests.samples import evacuation_order
channel = Website(Drill, Settings(folder=Path(sys.argv[1]), url="http://x"), surroundings(Path(sys.argv[1] + "-state")))
rendering = channel.render(evacuation_order(Drill), None)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    channel._publisher.publish(rendering)
except TemporaryFailure as failure:
    print(failure)
"""


def test_a_disk_that_takes_no_more_is_temporary_and_leaves_nothing_half_written(tmp_path):
    folder = tmp_path / "site"
    said = subprocess.run([sys.executable, "-c", FULL, folder], capture_output=True, text=True, check=True).stdout
    assert "書き込めません: File too large" in said
    assert [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"] == []


def test_a_damaged_entry_does_not_keep_the_others_from_the_residents(tmp_path):
    channel = Website(Drill, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))
    channel._publisher.publish(channel.render(ORDER, None))
    damaged = tmp_path / "site" / ".messages" / "damaged"
    damaged.mkdir()
    for data in (b"", b"{}", b"[1]", b'{"identifier": 1}'):
        (damaged / "entry.json").write_bytes(data)
        channel._publisher.publish(channel.render(RETRACTED, None))
    assert "取消" in (tmp_path / "site" / "index.html").read_text()


def test_a_folder_of_the_other_mode_is_refused(tmp_path):
    def of(mode):
        return Website(mode, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))

    of(Drill)._publisher.publish(of(Drill).render(ORDER, None))
    with pytest.raises(ModeLeak, match="Exercise, not Actual"):
        of(Live)._publisher.rebuild()
