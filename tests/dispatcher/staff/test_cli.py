"""The command line against a running node: what the console does, the same; rehearsed, declared, in three forms, with its exit codes."""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import threading

import pytest
import yaml

from dispatcher.__main__ import main, parser
from dispatcher.ledger import Event
from dispatcher.staff import areas
from dispatcher.staff.cli.client import Client
from dispatcher.staff.cli.completing import parsers
from tests.servers.staff_door import StaffDoor

ORDER = ("--template", "evacuation-order", "--area", "大沢")


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    opened = StaffDoor(tmp_path_factory.mktemp("door"))
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
def todoke(door, monkeypatch, capsys):
    """Run one command as somebody: exit code and what was printed (JSON read, where it was asked for)."""

    def run(who, *words):
        monkeypatch.setenv("TODOKE_NODE", f"http://{door.door}")
        monkeypatch.setenv("TODOKE_TOKEN", door.tokens.get(who, who))
        monkeypatch.delenv("TODOKE_TOKEN_FILE", raising=False)
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        return code, json.loads(said.out) if words[-2:] == ("-o", "json") else said.out or said.err

    return run


def leaves():
    return [each for each in parsers(parser()) if each.get_default("run") is not None]


def options(of):
    return {string for action in of._actions for string in action.option_strings}


# -- help --------------------------------------------------------------------------------------------------------------


def test_every_commands_help_names_the_exit_codes():
    texts = [each.format_help() for each in leaves()]
    assert len(texts) > 40
    for text in texts:
        assert "9 内容が変わった stale hash" in text, text


STAFFS = [each for each in leaves() if "--token-file" in options(each)]


@pytest.mark.parametrize("each", STAFFS, ids=lambda each: each.prog)
def test_every_command_of_staff_teaches_with_an_example_and_answers_in_three_forms(each):
    text = each.format_help()
    assert "todoke " in text.split("example")[1]
    form = next(action for action in each._actions if "-o" in action.option_strings)
    assert tuple(form.choices) == ("table", "json", "yaml")


LOOKING = {
    "board", "by-hand", "completion", "destinations", "doctor", "list", "preview", "proposals", "reach", "reports", "status", "suspended",
    "templates", "test", "timeline", "verify", "watch", "whoami", "facilities", "reached", "plan", "people", "search", "visits",
    "check", "show",
}  # fmt: skip


@pytest.mark.parametrize("each", STAFFS, ids=lambda each: each.prog)
def test_every_command_that_changes_something_can_be_rehearsed(each):
    assert ("--dry-run" in options(each)) != (each.prog.split()[-1] in LOOKING or each.prog == "todoke pfif export")


def test_what_changes_what_goes_out_must_say_live_or_drill(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["halt", "--reason", "x"])
    assert ended.value.code == 2
    assert "--live --drill" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_is_a_script_that_the_shell_reads_and_names_every_command(shell, capsys, tmp_path):
    assert main(["completion", shell]) == 0
    script = tmp_path / "todoke"
    script.write_text(capsys.readouterr().out, "utf-8")
    text = script.read_text("utf-8")
    for name in ("break-glass", "apply", "timeline", "--dry-run"):
        assert name in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True, timeout=20)


def test_who_asks_a_running_node_loads_none():
    """Seconds count at night: an HTTP client need not read in the channels, the ledgers and the console."""
    script = (
        "import sys; from dispatcher.__main__ import parser; parser('status'); "
        "print([name for name in ('dispatcher.node', 'channels', 'sqlalchemy', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_bash_completes_what_was_begun(capsys, tmp_path):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "todoke"
    script.write_text(capsys.readouterr().out, "utf-8")
    asked = 'source "$0"; COMP_WORDS=(todoke ap); COMP_CWORD=1; _shtab_todoke; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", asked, str(script)], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.split() == ["approve", "apply"]


# -- a message's way -----------------------------------------------------------------------------------------------------


def drafted(todoke):
    code, answer = todoke("職員0001", "draft", "--drill", *ORDER, "-o", "json")
    assert code == 0, answer
    return answer["draft"]["identifier"]


def submitted(todoke):
    identifier = drafted(todoke)
    code, answer = todoke("職員0001", "submit", "--drill", identifier, "-o", "json")
    assert code == 3, answer
    return identifier, answer["hash"]


def issued(todoke):
    identifier, shown = submitted(todoke)
    assert todoke("職員0002", "approve", "--drill", identifier, "--hash", shown, "-o", "json")[0] == 0
    return identifier


def test_a_draft_is_returned_mended_submitted_and_rejected(todoke):
    identifier, _ = submitted(todoke)
    code, answer = todoke("職員0002", "return", "--drill", identifier, "--reason", "原因を書く", "-o", "json")
    assert (code, answer["draft"]["state"]) == (0, "returned")
    code, answer = todoke("職員0001", "edit", "--drill", identifier, "--area", "大沢", "--area", "井の頭", "-o", "json")
    assert (code, answer["draft"]["state"]) == (0, "draft")
    assert (
        todoke("職員0001", "edit", "--drill", identifier, "--version", "1", "--cause", "雨が強い", "-o", "json")[0] == 9
    )
    assert todoke("職員0001", "submit", "--drill", identifier, "-o", "json")[0] == 3
    code, answer = todoke("職員0002", "reject", "--drill", identifier, "--reason", "取りやめ", "-o", "json")
    assert (code, answer["draft"]["state"]) == (0, "rejected")
    assert todoke("職員0001", "submit", "--drill", identifier, "-o", "json")[0] == 5


def test_the_board_is_shown_now_and_as_it_stood_then(todoke):
    identifier = issued(todoke)
    assert todoke("職員0003", "watch", identifier, "--timeout", "30")[0] == 0
    code, board = todoke("職員0003", "board", identifier, "-o", "json")
    assert (code, board["channels"][0]["taken"]) == (0, 1)
    code, then = todoke("職員0003", "board", identifier, "--at", board["alert"]["issued_at"], "-o", "json")
    assert (code, then["channels"][0]["taken"]) == (0, 0)
    assert todoke("職員0003", "board", identifier, "--at", "yesterday", "-o", "json")[0] == 2
    _, listed = todoke("職員0003", "destinations", identifier, "--missing", "-o", "json")
    assert listed["destinations"] == []
    code, story = todoke("職員0003", "timeline", identifier)
    assert code == 0
    assert "alert.issued" in story


def test_nobody_breaks_the_glass_without_a_second_factor(todoke):
    identifier = drafted(todoke)
    assert todoke("職員0002", "break-glass", "--drill", identifier, "--code", "123456", "-o", "json")[0] == 5
    assert todoke("職員0002", "confirm", "--drill", issued(todoke), "-o", "json")[0] == 5


def test_a_correction_can_be_prepared_and_sent_by_one_person(todoke):
    identifier = issued(todoke)
    code, answer = todoke(
        "職員0001", "correct", "--drill", identifier, "--note", "区域の誤り", "--dry-run", "-o", "json"
    )
    assert code == 0
    assert {"alert.issued", "draft.written"} <= {event["name"] for event in answer["dry_run"]["events"]}
    assert answer["preview"]["renderings"]["website"]["texts"]
    code, answer = todoke("職員0001", "correct", "--drill", identifier, "--note", "区域の誤り", "-o", "json")
    assert (code, answer["alert"]["verb"]) == (0, "correct")


def test_media_and_the_node_are_closed_and_opened(todoke):
    assert todoke("職員0003", "channels", "test", "-o", "json")[1]["channels"]["website"]["is_up"]
    assert todoke("職員0003", "channels", "test", "fax", "-o", "json")[0] == 5
    pause = ("channels", "pause", "--drill", "website", "--reason", "作業", "-o", "json")
    assert todoke("職員0003", *pause)[0] == 5
    assert todoke("職員0001", *pause)[0] == 0
    assert "website" in todoke("職員0001", "board", issued(todoke), "-o", "json")[1]["closed"]
    assert todoke("職員0001", "channels", "resume", "--drill", "website", "-o", "json")[0] == 0
    assert todoke("職員0001", "halt", "--live", "--reason", "切替作業", "-o", "json")[0] == 5, (
        "this node is a drill node"
    )
    assert todoke("職員0001", "halt", "--drill", "--reason", "切替作業", "-o", "json")[0] == 0
    identifier, shown = submitted(todoke)
    assert todoke("職員0002", "approve", "--drill", identifier, "--hash", shown, "-o", "json")[0] == 5
    assert todoke("職員0002", "reopen", "--drill", "-o", "json")[0] == 0
    assert todoke("職員0002", "retry", "--drill", issued(todoke), "website", "-o", "json")[0] == 0


def test_what_is_kept_beside_the_messages_is_kept(todoke):
    identifier = issued(todoke)
    code, _ = todoke("職員0001", "areas", "save", "川沿い", "--area", "大沢一丁目", "-o", "json")
    assert code == 0
    assert "川沿い" in todoke("職員0003", "areas", "list")[1]
    assert todoke("職員0001", "areas", "remove", "川沿い", "-o", "json")[0] == 0
    assert "数えない" in todoke("職員0003", "reach", "--area", "大沢")[1]
    sheets = todoke("職員0003", "by-hand", identifier, "-o", "json")[1]
    system = sheets["ticks"][0]["system"]
    assert (
        todoke("職員0001", "tick", identifier, system, "--who", "職員0009", "-o", "json")[1]["tick"]["who"]
        == "職員0009"
    )
    assert "職員0009" in todoke("職員0003", "by-hand", identifier)[1]
    assert todoke("職員0001", "tick", identifier, system, "--undo", "-o", "json")[1]["tick"]["at"] is None
    assert todoke("職員0001", "report", "--place", "大沢", "--text", "橋の下まで水", "-o", "json")[0] == 0
    assert "橋の下まで水" in todoke("職員0003", "reports")[1]
    assert todoke("職員0003", "whoami", "-o", "json")[1]["scopes"] == ["read"]
    assert "evacuation-order" in todoke("職員0003", "templates")[1]


def test_an_admin_proposes_and_another_approves(todoke):
    code, answer = todoke("職員0004", "propose", "template", "evacuation-order", "-o", "json")
    assert code == 3
    assert todoke("職員0005", "user", "approve", answer["proposal"]["id"], "-o", "json")[0] == 0
    named = {t["name"]: t["is_approved"] for t in todoke("職員0003", "templates", "-o", "json")[1]["templates"]}
    assert [name for name, is_approved in named.items() if is_approved] == ["evacuation-order"]


# -- rehearsed -----------------------------------------------------------------------------------------------------------


def test_a_rehearsed_draft_shows_what_each_medium_would_carry_and_leaves_nothing(todoke):
    before = todoke("職員0001", "status", "-o", "json")[1]["drafts"]
    code, said = todoke("職員0001", "draft", "--drill", *ORDER, "--dry-run")
    assert code == 0
    for words in ("【訓練】", "ウェブサイト", "draft.written", "何も書いていません"):
        assert words in said
    assert todoke("職員0001", "status", "-o", "json")[1]["drafts"] == before


def test_a_rehearsed_submission_says_what_it_would_be_refused_for(todoke):
    identifier, shown = submitted(todoke)
    approve = ("approve", "--drill", identifier, "--hash", shown, "--dry-run", "-o", "json")
    assert todoke("職員0001", *approve)[0] == 5
    assert todoke("職員0002", *approve)[0] == 0
    assert todoke("職員0002", "preview", identifier, "-o", "json")[1]["draft"]["state"] == "pending"


# -- forms ----------------------------------------------------------------------------------------------------------------


def test_an_answer_is_the_same_in_json_and_in_yaml(todoke):
    identifier, _ = submitted(todoke)
    whole = todoke("職員0003", "preview", identifier, "-o", "json")[1]
    said = todoke("職員0003", "preview", identifier, "-o", "yaml")[1]
    assert yaml.safe_load(said) == whole
    assert "大沢" in said, "people read it: nothing is escaped"
    code, refusal = todoke("職員0003", "preview", "13204-nowhere", "-o", "yaml")
    assert (code, yaml.safe_load(refusal)["status"]) == (2, 404)


def test_what_somebody_wrote_moves_nobodys_cursor(door, todoke):
    door.run(door.node.ledger.append(Event("act.refused", "", {"by": "\x1b[2J\u202e職員", "act": "x", "words": "y"})))
    code, said = todoke("職員0003", "timeline")
    assert code == 0
    assert "\\x1b[2J\\u202e職員" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


# -- declared -------------------------------------------------------------------------------------------------------------

FILE = """\
messages:
  野川:
    template: evacuation-order
    areas: [大沢]
    cause: 野川の水位が上がり、氾濫のおそれがあります。
areas:
  野川沿い:
    - 大沢一丁目
    - 大沢二丁目
"""


def changes(todoke):
    """What people wrote; the node itself goes on sending meanwhile."""
    events = todoke("職員0001", "timeline", "-o", "json")[1]["events"]
    return [event["sequence"] for event in events if event["name"].startswith(("draft.", "area.", "proposal.", "act."))]


def test_what_a_file_declares_is_brought_about_once(todoke, tmp_path):
    file = tmp_path / "osawa.yaml"
    file.write_text(FILE, "utf-8")
    apply = ("apply", "--drill", "-f", str(file))
    before = todoke("職員0001", "status", "-o", "json")[1]["drafts"]
    code, said = todoke("職員0001", *apply, "--dry-run")
    assert code == 0
    assert "+ message 野川" in said
    assert "areas: （なし） → 大沢" in said
    assert todoke("職員0001", "status", "-o", "json")[1]["drafts"] == before
    code, answer = todoke("職員0001", *apply, "-o", "json")
    assert (code, [each["change"] for each in answer["applied"]]) == (0, ["created", "created"])
    written = changes(todoke)
    code, answer = todoke("職員0001", *apply, "-o", "json")
    assert (code, [each["change"] for each in answer["applied"]]) == (0, ["unchanged", "unchanged"])
    assert changes(todoke) == written, "applying it again writes nothing"
    file.write_text(FILE.replace("[大沢]", "[大沢, 井の頭]"), "utf-8")
    code, said = todoke("職員0001", *apply)
    assert "areas: 大沢 → 大沢、井の頭" in said
    assert "= area 野川沿い" in said


def test_a_correction_that_a_file_declares_is_a_draft_and_goes_out_only_when_it_is_sent(todoke, tmp_path):
    identifier = issued(todoke)
    file = tmp_path / "correct.yaml"
    file.write_text(f"messages:\n  訂正: {{verb: correct, of: {identifier}, note: 区域の誤り}}\n", "utf-8")
    code, answer = todoke("職員0001", "apply", "--drill", "-f", str(file), "-o", "json")
    assert code == 0, answer
    correction = answer["applied"][0]["identifier"]
    assert todoke("職員0003", "board", correction, "-o", "json")[0] == 2, "nothing went out"
    shown = todoke("職員0001", "preview", correction, "-o", "json")[1]["hash"]
    assert todoke("職員0001", "send", "--drill", correction, "--version", "99", "-o", "json")[0] == 9
    assert len(shown) == 64
    assert todoke("職員0001", "send", "--drill", correction, "-o", "json")[1]["alert"]["verb"] == "correct"
    code, answer = todoke("職員0001", "apply", "--drill", "-f", str(file), "-o", "json")
    assert (code, answer["applied"][0]["change"]) == (0, "unchanged"), answer


def test_a_file_that_stops_halfway_says_what_is_done_and_goes_on_from_there(todoke, tmp_path, monkeypatch):
    """Each of two areas has room by itself, and both have not: only bringing them about can tell."""
    there = len(todoke("職員0001", "areas", "list", "-o", "json")[1]["areas"])
    monkeypatch.setattr(areas, "SAVED_AT_MOST", there + 1)
    file = tmp_path / "two.yaml"
    file.write_text("areas:\n  一つ目: [大沢一丁目]\n  二つ目: [大沢二丁目]\n", "utf-8")
    code, said = todoke("職員0001", "apply", "--drill", "-f", str(file), "-o", "json")
    assert (code, [each["name"] for each in said["applied"]]) == (4, ["一つ目"]), said
    assert "二つ目" in said["detail"]
    assert "too many saved areas" in said["findings"][0]["reason"]
    monkeypatch.undo()
    code, said = todoke("職員0001", "apply", "--drill", "-f", str(file), "-o", "json")
    assert (code, [each["change"] for each in said["applied"]]) == (0, ["unchanged", "created"])


def test_what_is_wrong_in_a_file_is_named_by_line_before_anything_is_written(todoke, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "messages:\n  a:\n    template: evacuate\n    areas:\n      - 大沢\n      - 大澤\n    words:\n      fr: {cause: x}\n"
        "  b: {template: evacuation-order, areas: [大沢]}\nareas:\n  c: [狛江]\n",
        "utf-8",
    )
    before = todoke("職員0001", "status", "-o", "json")[1]["drafts"]
    code, said = todoke("職員0001", "apply", "--drill", "-f", str(file))
    assert code == 2
    for line in (":3: messages.a.template: ", ":4: messages.a.areas: ", ":11: areas.c[0]: "):
        assert f"{file}{line}" in said, said
    assert todoke("職員0001", "status", "-o", "json")[1]["drafts"] == before


def test_a_file_that_is_none_is_named_by_line_without_a_node(todoke, tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("message: {}\nmessages:\n  a: {area: [大沢], verb: correct}\nduty: x\n", "utf-8")
    code, said = todoke("職員0001", "apply", "--drill", "-f", str(file))
    assert code == 2
    for line in (":1: message: unknown key", ":3: messages.a.area: unknown key", ":3: messages.a.verb: ", ":4: duty: "):
        assert f"{file}{line}" in said, said
    assert todoke("職員0001", "apply", "--drill", "-f", str(tmp_path / "nowhere.yaml"))[0] == 2


def test_a_duty_list_waits_for_a_second_admin_and_is_proposed_once(todoke, tmp_path):
    file = tmp_path / "duty.yaml"
    file.write_text("duty: [duty@example.jp]\n", "utf-8")
    apply = ("apply", "--drill", "-f", str(file), "-o", "json")
    code, first = todoke("職員0004", *apply)
    assert (code, first["applied"][0]["change"]) == (3, "proposed")
    assert todoke("職員0004", *apply)[1]["applied"][0]["proposal"] == first["applied"][0]["proposal"]
    assert todoke("職員0005", "user", "approve", first["applied"][0]["proposal"], "-o", "json")[0] == 0
    code, last = todoke("職員0004", *apply)
    assert (code, last["applied"][0]["change"]) == (0, "unchanged")


# -- the connection -------------------------------------------------------------------------------------------------------


def test_an_act_whose_answer_was_lost_is_asked_for_again_under_its_key():
    """A real listener that hangs up on the first request and answers the second."""
    heads = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for number in range(2):
                peer, _ = server.accept()
                with peer:
                    heads.append(peer.recv(65536))
                    if number:
                        peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"done": 1}')

        thread = threading.Thread(target=serve)
        thread.start()
        host, port = server.getsockname()
        assert Client(f"http://{host}:{port}", "t" * 20).post("/halt", {"mode": "drill", "reason": "x"}) == {"done": 1}
        thread.join(20)
    keys = [next(line for line in head.split(b"\r\n") if line.lower().startswith(b"idempotency-key")) for head in heads]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_no_node_and_no_token_are_said_and_have_their_codes(todoke, monkeypatch, capsys):
    assert todoke("nobody", "status")[0] == 7
    assert todoke("鍵\n", "status")[0] == 7
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    code, said = todoke("職員0001", "status", "--node", f"http://127.0.0.1:{free}")
    assert (code, "節点が答えません" in said) == (1, True)
    assert isinstance(parser(), argparse.ArgumentParser)
