"""Headquarters' rules through the public door: a running node, the command line, two people with a token each."""

import signal
import subprocess
import sys

import pytest

from tests.servers.headquarters import ORDER, Headquarters


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    headquarters = Headquarters(tmp_path_factory.mktemp("desk"))
    headquarters.start()
    yield headquarters
    headquarters.stop()


def test_the_submitter_cannot_approve_and_a_second_person_can(desk):
    identifier, shown = desk.submitted()
    code, answer = desk.todoke("職員0001", "approve", "--drill", identifier, "--hash", shown)
    assert code == 5, answer
    assert desk.todoke("職員0002", "approve", "--drill", identifier, "--hash", shown)[0] == 0
    assert desk.todoke("職員0002", "watch", identifier, "--timeout", "30")[0] == 0
    assert "【訓練】" in desk.page()


def test_another_hash_than_the_one_shown_is_refused_as_stale(desk):
    identifier, _ = desk.submitted()
    assert desk.todoke("職員0002", "approve", "--drill", identifier, "--hash", "0" * 64)[0] == 9


def test_the_preview_shows_the_hash_that_is_approved(desk):
    identifier, shown = desk.submitted()
    code, preview = desk.todoke("職員0002", "preview", identifier)
    assert code == 0
    assert preview["hash"] == shown
    texts = preview["renderings"]["website"]["texts"]
    assert [text["language"] for text in texts] == ["ja", "ja-x-easy", "en-US", "zh", "ko"]
    assert "大沢" in texts[0]["words"]


def test_what_goes_out_must_say_the_nodes_own_mode(desk):
    assert desk.todoke("職員0001", "draft", "--live", *ORDER)[0] == 5
    assert desk.todoke("職員0001", "draft", *ORDER)[0] == 2


def test_nobody_without_a_known_token_gets_anything(desk):
    assert desk.todoke("nobody", "status")[0] == 7


def test_every_reason_is_given_at_once(desk):
    code, answer = desk.todoke(
        "職員0001",
        "draft",
        "--drill",
        "--template",
        "evacuate",
        "--area",
        "大澤",
        "--expires",
        "10:00",
        "--next-update",
        "soon",
    )
    assert code == 2
    assert {f["where"] for f in answer["findings"]} == {"area", "template", "expires", "next_update"}


def test_a_retraction_needs_one_person_and_stands_on_the_page(desk):
    identifier = desk.issued()
    code, answer = desk.todoke("職員0001", "retract", "--drill", identifier, "--note", "区域の誤り")
    assert code == 0, answer
    assert desk.todoke("職員0001", "watch", answer["draft"]["identifier"], "--timeout", "30")[0] == 0
    assert "取消" in desk.page()
    assert desk.todoke("職員0001", "retract", "--drill", identifier, "--note", "もう一度")[0] == 5


def test_lifting_waits_for_a_second_person_and_ends_the_chain(desk):
    identifier = desk.issued()
    code, answer = desk.todoke("職員0001", "lift", "--drill", identifier)
    assert code == 3, answer
    lifting = answer["draft"]["identifier"]
    assert desk.todoke("職員0002", "approve", "--drill", lifting, "--hash", answer["hash"])[0] == 0
    assert desk.todoke("職員0002", "watch", lifting, "--timeout", "30")[0] == 0
    assert desk.todoke("職員0001", "update", "--drill", lifting)[0] == 5


def test_the_channels_are_probed_and_the_ledger_is_whole(desk):
    code, answer = desk.todoke("職員0001", "channels", "test")
    assert code == 0, answer
    assert answer["channels"]["website"]["is_up"]
    assert desk.todoke("職員0001", "audit", "verify") == (0, {"wrong": []})


def test_what_was_approved_survives_kill_9_and_is_taken_afterwards(tmp_path):
    headquarters = Headquarters(tmp_path)
    headquarters.start()
    identifier, shown = headquarters.submitted()
    assert headquarters.todoke("職員0002", "approve", "--drill", identifier, "--hash", shown)[0] == 0
    headquarters.stop(signal.SIGKILL)
    headquarters.start()
    try:
        assert headquarters.todoke("職員0002", "watch", identifier, "--timeout", "30")[0] == 0
        assert "【訓練】" in headquarters.page()
        assert headquarters.todoke("職員0001", "audit", "verify") == (0, {"wrong": []})
    finally:
        headquarters.stop()


def test_a_site_file_with_many_faults_names_all_of_them_and_opens_nothing(tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text(
        "mode: dril\nnode: A B\ncity: mitaka\nresident: {}\ncontrol: {listen: 0.0.0.0:80}\nstaff: []\nchannels:\n  fax: {}\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "check", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    for line, path in ((1, "mode"), (4, "resident"), (5, "control.listen"), (8, "channels.fax")):
        assert f"{file}:{line}: {path}: " in done.stderr, done.stderr
    assert ": residents: missing" in done.stderr
    assert ": state_dir: missing" in done.stderr
