"""The staff's HTTP door for programs: what it refuses, how it says so, and that a request is done once."""

import json
from dataclasses import make_dataclass
from datetime import timedelta

import pytest
import schemathesis

from dispatcher.clock import ManualClock, SystemClock
from dispatcher.errors import InvalidInput
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.staff.api import ROUTES, idempotency
from dispatcher.staff.api.idempotency import Answer, Begun, Kept
from dispatcher.staff.api.problems import Said
from dispatcher.staff.api.shapes import Shapes
from tests.servers.staff_door import ORDER, StaffDoor

DEEP = b'{"typed":' * 500 + b"1" + b"}" * 500
WRITTEN = {"mode": "drill", "typed": ORDER}


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    opened = StaffDoor(tmp_path_factory.mktemp("door"))
    opened.start()
    yield opened
    opened.stop()


def count(door):
    return len(door.ask("職員0001", "GET", "/status")[2]["drafts"])


def test_every_problem_of_a_body_is_said_at_once_each_at_its_place(door):
    body = {"mode": "test", "typed": {"areas": ["大沢", 5], "colour": "red", "cause": ["x"]}, "extra/field": 1}
    status, headers, problem = door.ask("職員0001", "POST", "/drafts", body)
    assert status == 422
    assert headers["Content-Type"].startswith("application/problem+json")
    assert problem["exit_code"] == 2
    assert {finding["pointer"] for finding in problem["findings"]} == {
        "/mode",
        "/typed/areas/1",
        "/typed/colour",
        "/typed/cause",
        "/extra~1field",
    }
    assert all(finding["reason"] for finding in problem["findings"])


def test_what_the_desk_finds_wrong_is_pointed_to_as_well(door):
    typed = {"template": "evacuate", "areas": ["大澤"], "expires": "10:00", "words": {"fr": {}}}
    status, _, problem = door.ask("職員0001", "POST", "/drafts", {"mode": "drill", "typed": typed})
    assert status == 422
    found = {(finding["where"], finding["pointer"]) for finding in problem["findings"]}
    assert found == {("area", "/typed/areas"), ("template", "/typed/template"), ("expires", "/typed/expires")}


def test_a_problem_leads_to_a_page_that_says_what_it_means(door):
    status, _, problem = door.ask("職員0003", "GET", "/drafts/13204-nowhere")
    assert status == problem["status"] == 404
    path = problem["type"].removeprefix("/api/v1")
    assert door.ask(None, "GET", path)[2] == {
        "title": problem["title"],
        "status": 404,
        "meaning": "識別子か宛先を確かめてください (check the identifier or the path)",
        "exit_code": 2,
    }


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"mode": NaN}', b"\xff", b'{"mode":1,"mode":2}', b"[" * 100_000, DEEP]
)
def test_what_is_no_whole_json_object_is_refused_and_changes_nothing(door, data):
    before = count(door)
    status, headers, problem = door.ask("職員0001", "POST", "/drafts", data=data)
    assert status == 422, problem
    assert headers["Content-Type"].startswith("application/problem+json")
    assert count(door) == before


@pytest.mark.parametrize("text", ["\0", "\ud800", "あ\udc00"])
def test_what_is_no_text_is_refused_where_it_stands(door, text):
    data = json.dumps({"mode": "drill", "typed": {**ORDER, "cause": text}}).encode()
    status, _, problem = door.ask("職員0001", "POST", "/drafts", data=data)
    assert status == 422
    assert [finding["pointer"] for finding in problem["findings"]] == ["/typed/cause"]


@pytest.mark.parametrize(
    ("status", "method", "path", "headers", "data"),
    [
        (404, "GET", "/nothing", {}, None),
        (404, "GET", "/drafts/%00", {}, None),
        (405, "DELETE", "/drafts", {}, None),
        (406, "GET", "/status", {"Accept": "text/html"}, None),
        (406, "GET", "/status", {"Accept": "application/json;q=0, */*"}, None),
        (413, "POST", "/drafts", {}, b'"' + b"x" * 300_000 + b'"'),
        (415, "POST", "/drafts", {"Content-Type": "text/plain"}, b"{}"),
        (415, "POST", "/drafts", {"Content-Type": "application/json; charset=shift_jis"}, b"{}"),
        (415, "POST", "/drafts", {"Content-Encoding": "gzip"}, b"{}"),
        (422, "POST", "/drafts?dry-run=true", {}, b"{}"),
        (422, "GET", "/alerts/x?at=yesterday", {}, None),
        (422, "GET", "/alerts/x?at=2026-09-14T00:00:00Z&at=2026-09-14T00:00:00Z", {}, None),
        (422, "POST", "/drafts", {"Idempotency-Key": "x" * 201}, b"{}"),
    ],
)
def test_what_http_itself_refuses_is_a_problem_as_well(door, status, method, path, headers, data):
    said, answered, problem = door.ask("職員0001", method, path, headers=headers, data=data)
    assert said == status == problem["status"], problem
    assert answered["Content-Type"].startswith("application/problem+json")
    assert status != 405 or set(answered["Allow"].split(",")) == {"GET", "HEAD", "POST"}


def test_a_browser_that_takes_anything_is_answered(door):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert door.ask("職員0001", "GET", "/status", headers={"Accept": accept})[0] == 200


@pytest.mark.parametrize("who", [None, "nobody", "todoke_" + "A" * 43, "職員0001"])
def test_a_token_that_nobody_has_opens_nothing(door, who):
    headers = {"Authorization": "Basic dTpw"} if who == "職員0001" else {}
    status, answered, problem = door.ask(who if headers == {} else None, "GET", "/status", headers=headers)
    assert status == 401
    assert answered["WWW-Authenticate"].startswith("Bearer")
    assert problem["exit_code"] == 7


def test_guessing_tokens_is_written_down_but_not_each_guess(tmp_path):
    door = StaffDoor(tmp_path)
    door.start()
    try:
        for number in range(20):
            assert door.ask(f"todoke_{number:043d}", "GET", "/status")[0] == 401
        events = door.ask("職員0003", "GET", "/timeline")[2]["events"]
        tried = [event["facts"] for event in events if event["name"] == "act.refused"]
        assert [(facts["because"], facts["remote"]) for facts in tried] == [("Unauthenticated", "127.0.0.1")]
        assert "todoke_" not in json.dumps(events)
    finally:
        door.stop()


def test_who_may_only_look_changes_nothing_and_the_try_is_written_down(door):
    before = count(door)
    status, _, problem = door.ask("職員0003", "POST", "/drafts", WRITTEN)
    assert (status, problem["exit_code"]) == (403, 5)
    assert count(door) == before
    events = door.ask("職員0003", "GET", "/timeline")[2]["events"]
    assert events[0]["name"] == "act.refused"
    assert events[0]["facts"]["by"] == "職員0003"


def test_a_submission_of_which_one_has_the_wrong_hash_is_stale(door):
    identifier, _ = door.submitted()
    body = {"mode": "drill", "hash": "0" * 64}
    status, _, problem = door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", body)
    assert (status, problem["exit_code"]) == (409, 9)


def test_a_draft_goes_its_whole_way_and_its_story_can_be_read(door):
    identifier, shown = door.submitted()
    returned = door.ask(
        "職員0002", "POST", f"/drafts/{identifier}/return", {"mode": "drill", "reason": "原因を書いてください"}
    )
    assert returned[2]["draft"]["state"] == "returned"
    version = returned[2]["draft"]["version"]
    typed = {**ORDER, "cause": "野川の水位が上がり、氾濫のおそれがあります。"}
    edited = {"mode": "drill", "version": version, "typed": typed}
    assert door.ask("職員0001", "PUT", f"/drafts/{identifier}", edited)[0] == 200
    assert door.ask("職員0001", "PUT", f"/drafts/{identifier}", edited)[0] == 409
    status, _, answer = door.ask("職員0001", "POST", f"/drafts/{identifier}/submit", {"mode": "drill"})
    assert status == 200
    assert answer["hash"] != shown
    preview = door.ask("職員0002", "GET", f"/drafts/{identifier}")[2]
    assert preview["hash"] == answer["hash"]
    body = {"mode": "drill", "hash": preview["hash"]}
    assert door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", body)[2]["alert"]["identifier"] == identifier
    board = door.ask("職員0003", "GET", f"/alerts/{identifier}")[2]
    assert [line["channel"] for line in board["channels"]] == ["website"]
    before = "2020-01-01T00:00:00%2B09:00"
    assert door.ask("職員0003", "GET", f"/alerts/{identifier}?at={before}")[0] == 403
    names = [event["name"] for event in door.ask("職員0003", "GET", f"/alerts/{identifier}/timeline")[2]["events"]]
    assert {"draft.written", "draft.submitted", "draft.returned", "draft.edited", "alert.issued"} <= set(names)
    note = {"mode": "drill", "typed": {"note": "区域の誤り"}}
    assert door.ask("職員0001", "POST", f"/alerts/{identifier}/retract", note)[2]["alert"]["verb"] == "retract"


def test_a_halted_node_sends_nothing_until_it_is_opened_again(door):
    identifier, shown = door.submitted()
    assert door.ask("職員0001", "POST", "/halt", {"mode": "drill", "reason": "切替作業"})[0] == 200
    body = {"mode": "drill", "hash": shown}
    assert door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", body)[0] == 403
    assert door.ask("職員0001", "POST", "/reopen", {"mode": "drill"})[0] == 403
    assert door.ask("職員0002", "POST", "/reopen", {"mode": "drill"})[0] == 200
    assert door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", body)[0] == 200


# -- dry run --------------------------------------------------------------------------------------------------------


ACTS = frozenset({"draft.written", "draft.submitted", "alert.issued", "gate.closed", "act.refused"})
"""What somebody who asks leaves in the chain; beside it the node pages, sends and takes receipts by itself."""


def everything(door):
    """Every event of an act, and every draft's version."""
    status = door.ask("職員0001", "GET", "/status")[2]
    events = door.ask("職員0001", "GET", "/timeline")[2]["events"]
    acts = [e["sequence"] for e in events if e["name"] in ACTS]
    return acts, [(d["identifier"], d["version"]) for d in status["drafts"]]


def test_a_rehearsed_act_answers_as_it_would_and_writes_nothing(door):
    identifier, shown = door.submitted()
    before = everything(door)
    status, _, drafted = door.ask("職員0001", "POST", "/drafts?dry_run=true", WRITTEN)
    assert status == 201
    assert [event["name"] for event in drafted["dry_run"]["events"]] == ["draft.written"]
    body = {"mode": "drill", "hash": shown}
    status, _, approved = door.ask("職員0002", "POST", f"/drafts/{identifier}/approve?dry_run=true", body)
    assert status == 200
    assert approved["alert"]["identifier"] == identifier
    assert "alert.issued" in [event["name"] for event in approved["dry_run"]["events"]]
    assert door.ask("職員0001", "POST", "/halt?dry_run=true", {"mode": "drill", "reason": "試し"})[0] == 200
    assert everything(door) == before
    assert door.ask("職員0002", "GET", f"/drafts/{drafted['draft']['identifier']}")[0] == 404
    assert door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", body)[0] == 200


def test_a_rehearsed_act_is_refused_as_it_would_be(door):
    identifier, shown = door.submitted()
    body = {"mode": "drill", "hash": shown}
    assert door.ask("職員0001", "POST", f"/drafts/{identifier}/approve?dry_run=true", body)[0] == 403
    live = {"mode": "live", "hash": shown}
    assert door.ask("職員0002", "POST", f"/drafts/{identifier}/approve?dry_run=true", live)[0] == 403


def test_a_rehearsed_retraction_says_what_it_would_take_back(door):
    identifier = door.issued()
    note = {"mode": "drill", "typed": {"note": "区域の誤り"}}
    status, _, answer = door.ask("職員0001", "POST", f"/alerts/{identifier}/retract?dry_run=true", note)
    assert status == 200
    assert answer["alert"]["verb"] == "retract"
    assert door.ask("職員0001", "GET", f"/alerts/{identifier}")[2]["alert"]["state"] in {"dispatching", "live"}


# -- once ------------------------------------------------------------------------------------------------------------


def test_a_request_sent_twice_under_one_key_is_done_once_also_over_a_restart(tmp_path):
    door = StaffDoor(tmp_path)
    door.start()
    try:
        key = {"Idempotency-Key": "a-1"}
        first = door.ask("職員0001", "POST", "/drafts", WRITTEN, key)
        assert door.ask("職員0001", "POST", "/drafts", WRITTEN, key)[::2] == first[::2]
        other = {"mode": "drill", "typed": {**ORDER, "areas": ["井の頭"]}}
        status, _, problem = door.ask("職員0001", "POST", "/drafts", other, key)
        assert status == 422
        assert problem["findings"][0]["where"] == "Idempotency-Key"
        assert door.ask("職員0002", "POST", "/drafts", WRITTEN, key)[2] != first[2], (
            "another person's key is another key"
        )
        refused = door.ask("職員0001", "POST", "/reopen", {"mode": "drill"}, {"Idempotency-Key": "a-2"})
        door.stop()
        door.start()
        assert door.ask("職員0001", "POST", "/drafts", WRITTEN, key)[::2] == first[::2]
        assert (
            door.ask("職員0001", "POST", "/reopen", {"mode": "drill"}, {"Idempotency-Key": "a-2"})[::2] == refused[::2]
        )
        assert count(door) == 2
    finally:
        door.stop()


@pytest.fixture
async def kept(tmp_path):
    clock = ManualClock(SystemClock().now())
    async with open_ledger(f"sqlite:///{tmp_path / 'todoke.db'}", mode=Drill, node="test", clock=clock) as ledger:
        yield Kept(ledger, clock), clock, ledger


async def test_a_key_whose_act_was_never_answered_is_not_done_again(kept):
    answers, _, _ = kept
    assert isinstance(await answers.begin("職員0001", "k", b"a"), Begun)
    with pytest.raises(Said) as said:
        await answers.begin("職員0001", "k", b"a")
    assert said.value.status == 409


async def test_an_answer_is_kept_for_a_day_and_no_longer(kept):
    answers, clock, ledger = kept
    begun = await answers.begin("職員0001", "k", b"a")
    await answers.finish(begun, Answer(201, "{}"))
    clock.advance(timedelta(hours=23, minutes=59).total_seconds())
    assert await answers.begin("職員0001", "k", b"a") == Answer(201, "{}")
    with pytest.raises(InvalidInput):
        await answers.begin("職員0001", "k", b"b")
    clock.advance(idempotency.SWEPT_EVERY_S)
    assert isinstance(await answers.begin("職員0001", "other", b"b"), Begun)
    assert len(await ledger.records("idempotency")) == 1, "what is over was swept"
    assert isinstance(await answers.begin("職員0001", "k", b"b"), Begun)


async def test_an_act_that_failed_on_our_side_leaves_its_key_free(kept):
    answers, _, _ = kept
    begun = await answers.begin("職員0001", "k", b"a")
    await answers.forget(begun)
    assert isinstance(await answers.begin("職員0001", "k", b"a"), Begun)


# -- beside the messages ---------------------------------------------------------------------------------------------


def test_a_declared_message_is_one_however_often_it_is_declared(door):
    path, body = "/messages/%E9%87%8E%E5%B7%9D", {"mode": "drill", "typed": ORDER}
    first = door.ask("職員0001", "PUT", path, body)[2]
    assert first["change"] == "created"
    again = door.ask("職員0001", "PUT", path, body)[2]
    assert (again["change"], again["draft"]["version"]) == ("unchanged", first["draft"]["version"])
    other = {"mode": "drill", "typed": {**ORDER, "areas": ["大沢", "井の頭"]}}
    rehearsed = door.ask("職員0001", "PUT", path + "?dry_run=true", other)[2]
    assert (rehearsed["change"], rehearsed["before"]["areas"]) == ("changed", ["大沢"])
    changed = door.ask("職員0001", "PUT", path, other)[2]
    assert changed["change"] == "changed"
    assert changed["draft"]["identifier"] == first["draft"]["identifier"]
    assert len(changed["draft"]["quarters"]) > len(first["draft"]["quarters"])
    by_hand = {"mode": "drill", "version": changed["draft"]["version"], "typed": {**ORDER, "areas": ["井の頭"]}}
    assert door.ask("職員0001", "PUT", f"/drafts/{first['draft']['identifier']}", by_hand)[0] == 200
    restored = door.ask("職員0001", "PUT", path, other)[2]
    assert (restored["change"], restored["before"]["areas"]) == ("changed", ["井の頭"])
    assert door.ask("職員0001", "PUT", path, other)[2]["change"] == "unchanged"
    follow = {"mode": "drill", "typed": {**ORDER, "verb": "update", "of": door.issued()}}
    assert door.ask("職員0001", "PUT", path, follow)[0] == 403, "a name says one thing"


def test_a_declared_message_that_is_out_is_left_alone(door):
    path, body = "/messages/out", {"mode": "drill", "typed": ORDER}
    identifier = door.ask("職員0001", "PUT", path, body)[2]["draft"]["identifier"]
    shown = door.ask("職員0001", "POST", f"/drafts/{identifier}/submit", {"mode": "drill"})[2]["hash"]
    approved = {"mode": "drill", "hash": shown}
    assert door.ask("職員0002", "POST", f"/drafts/{identifier}/approve", approved)[0] == 200
    assert door.ask("職員0001", "PUT", path, body)[2]["change"] == "unchanged"
    other = {"mode": "drill", "typed": {**ORDER, "areas": ["井の頭"]}}
    assert door.ask("職員0001", "PUT", path, other)[0] == 403


def test_an_area_is_kept_under_its_name_and_whom_it_reaches_is_said(door):
    path = "/areas/%E9%87%8E%E5%B7%9D%E6%B2%BF%E3%81%84"
    kept = door.ask("職員0001", "PUT", path, {"quarters": ["大沢", "大沢一丁目"]})[2]
    assert (kept["change"], kept["area"]["name"], len(kept["area"]["quarters"])) == ("created", "野川沿い", 6)
    assert door.ask("職員0001", "PUT", path, {"quarters": ["大沢"]})[2]["change"] == "unchanged"
    status, _, problem = door.ask("職員0001", "PUT", path, {"quarters": ["大沢", "大澤", "狛江"]})
    assert (status, [f["pointer"] for f in problem["findings"]]) == (422, ["/quarters/1", "/quarters/2"])
    reached = door.ask("職員0001", "POST", "/reach", {"areas": ["大沢"]})[2]["channels"]["website"]
    assert reached["head_count"] is None
    assert len(reached["by_quarter"]) == 6
    version = kept["area"]["version"]
    assert door.ask("職員0001", "DELETE", f"{path}?version={version + 1}")[0] == 409
    assert door.ask("職員0001", "DELETE", f"{path}?version={version}")[0] == 200
    assert door.ask("職員0001", "GET", "/areas")[2]["areas"] == []


def test_what_was_done_by_hand_is_ticked(door):
    identifier = door.issued()
    sheet = door.ask("職員0001", "GET", f"/alerts/{identifier}/by-hand")[2]
    assert sheet["script"]["lines"]
    system = sheet["ticks"][0]["system"]
    ticked = door.ask("職員0001", "POST", f"/alerts/{identifier}/by-hand/{system}", {"who": "職員0009"})[2]["tick"]
    assert (ticked["who"], ticked["by"]) == ("職員0009", "職員0001")
    undone = door.ask("職員0001", "DELETE", f"/alerts/{identifier}/by-hand/{system}?version={ticked['version']}")
    assert undone[2]["tick"]["at"] is None


def test_a_field_report_is_written_and_a_hostile_picture_is_not(door):
    report = {"text": "野川の橋の下まで水", "place": "大沢一丁目", "source": "消防団"}
    status, _, answer = door.ask("職員0001", "POST", "/reports", report)
    assert status == 201
    assert door.ask("職員0003", "GET", "/reports")[2]["reports"] == [answer["report"]]
    assert door.ask("職員0001", "POST", "/reports", {**report, "photo": "****"})[0] == 422
    assert door.ask("職員0001", "POST", "/reports", {**report, "photo": "aGVsbG8="})[0] == 422
    assert len(door.ask("職員0003", "GET", "/reports")[2]["reports"]) == 1


def test_an_admin_act_waits_for_a_second_admin_and_nobody_else_may_look(door):
    assert door.ask("職員0001", "GET", "/people")[0] == 403
    people = door.ask("職員0004", "GET", "/people")[2]["people"]
    assert {person["name"] for person in people} >= {"職員0001", "職員0004"}
    asked = {"act": "add", "what": {"name": "職員0007", "roles": ["viewer"]}}
    status, _, answer = door.ask("職員0004", "POST", "/proposals", asked)
    assert status == 201
    path = f"/proposals/{answer['proposal']['id']}/approve"
    assert door.ask("職員0004", "POST", path)[0] == 403, "the second admin is another person"
    assert door.ask("職員0005", "POST", path, headers={"Idempotency-Key": "k"})[0] == 422, (
        "what is handed over is kept nowhere"
    )
    status, _, done = door.ask("職員0005", "POST", path)
    assert status == 200
    assert done["handed_over"]
    assert door.ask("職員0001", "GET", "/me")[2] == {
        "name": "職員0001",
        "roles": ["originator"],
        "scopes": ["read", "write"],
        "mode": "drill",
    }


# -- the document ----------------------------------------------------------------------------------------------------


def test_the_document_has_every_route_and_needs_no_token(door):
    status, headers, document = door.ask(None, "GET", "/openapi.json")
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert document["openapi"].startswith("3.1")
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert documented == {(route.method, route.path) for route in ROUTES}
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


def test_two_nouns_of_one_name_have_no_place_in_the_document():
    def noun(hint):
        return make_dataclass("Noun", [("field", hint)])

    shapes = Shapes({}, {})
    shapes.schema(noun(str))
    with pytest.raises(TypeError, match="two nouns"):
        shapes.schema(noun(int))


def test_the_document_is_openapi_as_an_independent_judge_reads_it(door):
    assert schemathesis.openapi.from_dict(door.ask(None, "GET", "/openapi.json")[2]).validate() is None


def test_only_what_changes_something_may_be_rehearsed_and_repeated(door):
    document = door.ask(None, "GET", "/openapi.json")[2]
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert ("dry_run" in names) == route.changes, route.name
        assert (idempotency.HEADER in names) == (route.changes and not route.hands_over), route.name
