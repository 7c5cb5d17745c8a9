"""安否 at the command line, over a real node: asked, looked at, answered for, ended; and what a viewer is told instead."""

import json

import pytest

from dispatcher.__main__ import main
from dispatcher.staff.sessions import new_token
from tests.servers.residents import HIDDEN, residents
from tests.servers.staff_door import StaffDoor


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    opened = StaffDoor(tmp_path_factory.mktemp("welfare-cli"))
    opened.tokens["福祉"], kept = new_token()
    opened.site["staff"].append({"name": "職員0007", "roles": ["welfare"], "token_hash": kept})
    opened.start()
    opened.city = residents(opened.node)
    yield opened
    opened.stop()


@pytest.fixture
def say(door, monkeypatch, capsys):
    """`say(who, …)`: exit code and the answer as JSON."""

    def says(who, *words):
        monkeypatch.setenv("TODOKE_NODE", f"http://{door.door}")
        monkeypatch.setenv("TODOKE_TOKEN", door.tokens[who])
        code = main([*words, "-o", "json"])
        return code, json.loads(capsys.readouterr().out)

    return says


def test_a_welfare_officer_works_through_a_night_at_the_command_line(door, say):
    campaign = door.run(door.city.asked())
    code, found = say("福祉", "safety", "search", campaign, "住民0005", "--reason", "called")
    assert code == 0
    (person,) = [case["id"] for case in found["people"]]
    assert say("福祉", "safety", "answer", campaign, person, "help", "--source", "self", "--text", "二階")[0] == 0
    assert [case["name"] for case in say("福祉", "safety", "people", campaign)[1]["people"]] == ["住民0005"]
    assert say("福祉", "safety", "take", campaign, person)[0] == 0
    code, sheets = say("福祉", "safety", "visits", campaign, "--sealed")
    assert [case["name"] for sheet in sheets["sheets"] for case in sheet["cases"]] == [HIDDEN.name]
    assert say("福祉", "safety", "resolve", campaign, person)[0] == 0
    code, refused = say("職員0003", "safety", "people", campaign)
    assert (code, "viewer may not see residents by name; welfare may" in refused["detail"]) == (5, True)
    code, seen = say("職員0003", "safety", "status", campaign)
    assert (code, seen["figures"]["asked"]) == (0, {"least": 8, "most": 14})
    assert say("職員0001", "safety", "close", "--drill", campaign)[0] == 0


def test_whoever_need_not_be_asked_is_exempt_once_and_stays_so_when_all_are_asked_again(door, say):
    campaign = door.run(door.city.asked())
    person = door.city.ids["住民0006"]
    assert say("職員0003", "safety", "exempt", campaign, person)[0] == 5
    assert say("福祉", "safety", "exempt", campaign, person)[0] == 0
    assert say("福祉", "safety", "exempt", campaign, person)[0] == 5, "done already"
    assert say("職員0001", "safety", "re-ask", "--drill", campaign)[0] == 0
    status, _, case = door.ask("福祉", "GET", f"/safety/{campaign}/people/{person}")
    assert (status, case["person"]["progress"]) == (200, "exempt")
    assert person not in {case["id"] for case in say("福祉", "safety", "people", campaign, "--silent")[1]["people"]}


def test_the_daily_touch_is_asked_for_agreed_to_shown_and_ended(say):
    code, off = say("職員0003", "daily", "show")
    assert (code, off["watch"]) == (0, None)
    code, wrong = say("職員0001", "daily", "propose", "--drill", "--area", "大沢一丁目", "--time", "23:00")
    assert (code, [finding["pointer"] for finding in wrong["findings"]]) == (2, ["/time"])
    wanted = ("--area", "大沢一丁目", "--time", "9:00")
    assert say("職員0003", "daily", "propose", "--drill", *wanted)[0] == 5
    assert say("職員0001", "daily", "propose", "--live", *wanted)[0] == 5, "the node is in drill mode"
    code, wrong = say("職員0001", "daily", "propose", "--drill", *wanted)
    assert code == 2, "as 09:00"
    code, waits = say("職員0001", "daily", "propose", "--drill", "--area", "大沢一丁目", "--time", "09:00")
    assert code == 3
    assert say("職員0002", "safety", "agree", "--drill", waits["waits_as"])[0] == 0
    code, on = say("職員0003", "daily", "show")
    assert (on["watch"]["at"], on["watch"]["is_on"], on["place"]) == ("09:00", True, "大沢一丁目")
    assert say("職員0001", "daily", "end", "--drill", "--dry-run")[0] == 0
    assert say("職員0003", "daily", "show")[1]["watch"], "a rehearsal ends nothing"
    assert say("職員0003", "daily", "end", "--drill")[0] == 5
    assert say("職員0001", "daily", "end", "--drill")[0] == 0
    assert say("職員0003", "daily", "show")[1]["watch"] is None


def test_a_question_without_an_alert_waits_for_a_second_person_and_says_so(say):
    assert say("職員0001", "safety", "plan", "--area", "大沢一丁目")[1]["needs_second"]
    code, waits = say("職員0001", "safety", "start", "--drill", "--area", "大沢一丁目")
    assert (code, waits["campaign"]) == (3, "")
    code, began = say("職員0002", "safety", "agree", "--drill", waits["waits_as"])
    assert code == 0
    assert began["campaign"]


def test_facilities_and_reach_are_asked_for_by_an_alerts_identifier(door, say):
    identifier = door.issued()
    code, reached = say("職員0003", "reached", identifier)
    assert (code, [m["is_counted"] for m in reached["media"]]) == (0, [False])
    assert say("職員0003", "facilities", identifier) == (0, {"facilities": []})
    assert say("職員0001", "telephoned", "--drill", identifier, "F001", "--spoke-with", "園長")[0] == 5
