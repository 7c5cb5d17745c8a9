"""A station's report: whole or refused, whatever comes; and what a receiver's folder remembers."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multicast import memory, report
from multicast.report import BadReport, Report

NOW_S = 1_789_000_000
SECRET = "a station's own secret"
TEXTS = st.text(min_size=1, max_size=40)
DIGESTS = st.binary(max_size=4).map(lambda data: hashlib.sha256(data).hexdigest())
REPORTS = st.builds(
    Report,
    sequence=st.integers(0, 1 << 53),
    holds=st.dictionaries(TEXTS, st.frozensets(DIGESTS, max_size=4), max_size=4),
    hidden=st.frozensets(TEXTS, max_size=4),
    at_s=st.just(NOW_S),
)
SAID = Report(7, {"mitaka-1": frozenset({hashlib.sha256(b"").hexdigest()})}, frozenset({"mitaka-0"}), NOW_S)


@given(REPORTS)
def test_what_is_written_is_read(said):
    assert report.read(*report.write(said, SECRET, NOW_S), SECRET, NOW_S) == said


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_altered_byte_of_the_body_is_refused(at, change):
    headers, body = report.write(SAID, SECRET, NOW_S)
    altered = bytearray(body)
    altered[at % len(body)] ^= change
    with pytest.raises(BadReport, match="signature"):
        report.read(headers, bytes(altered), SECRET, NOW_S)


@pytest.mark.parametrize("name", [report.ID, report.TIMESTAMP, report.SIGNATURE])
@given(st.text(st.characters(codec="latin-1"), max_size=20))
def test_any_other_header_is_refused(name, value):
    headers, body = report.write(SAID, SECRET, NOW_S)
    with pytest.raises(BadReport):
        report.read(headers | {name: value}, body, SECRET, NOW_S)


@pytest.mark.parametrize("off_s", [-report.MAX_AGE_S - 1, report.MAX_AGE_S + 1])
def test_a_clock_too_far_away_is_refused(off_s):
    with pytest.raises(BadReport, match="time"):
        report.read(*report.write(SAID, SECRET, NOW_S + off_s), SECRET, NOW_S)


def test_an_earlier_report_is_refused_after_a_later_one_and_the_same_one_is_not():
    again = report.write(SAID, SECRET, NOW_S)
    assert report.read(*again, SECRET, NOW_S, NOW_S) == SAID
    with pytest.raises(BadReport, match="earlier"):
        report.read(*again, SECRET, NOW_S, NOW_S + 1)


def test_a_folder_remembers_the_newest_manifest(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert memory.recall(folder) == 0
    memory.remember(folder, 12)
    assert memory.recall(folder) == 12
    assert [path.name for path in folder.iterdir()] == [memory.FILE]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}", b'{"sequence": null}', b"[" * 100_000])
def test_a_folder_with_a_damaged_memory_is_refused(tmp_path, content):
    (tmp_path / memory.FILE).write_bytes(content)
    with pytest.raises(memory.BadFolder, match="trust this folder anew"):
        memory.recall(tmp_path)


def test_a_report_never_shows_its_secret():
    headers, body = report.write(SAID, SECRET, NOW_S)
    assert SECRET not in json.dumps(headers) + body.decode()
