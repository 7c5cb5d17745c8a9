"""The roster and PFIF through the staff's door: the role welfare tries a file, imports it, hands people's states over."""

import base64
import gzip
import json

import pytest

from dispatcher.__main__ import main
from dispatcher.cap.document import outline
from dispatcher.staff.sessions import new_token
from tests.contracts.ledger_contract import until
from tests.servers.staff_door import StaffDoor

WELFARE, ORIGINATOR = "福祉0001", "職員0001"
HEAD = "宛名番号,氏名,住所,メール\n"
TWO = HEAD + "R1,住民0001,大沢2-6-18,r1@example.jp\nR2,住民0002,下連雀3-24-3,\n"


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roster")
    (folder / "safety").write_text("the site's key of thirty-two letters")
    (folder / "safety").chmod(0o600)
    opened = StaffDoor(folder)
    opened.site["safety"] = {"key": {"file": str(folder / "safety")}}
    opened.tokens[WELFARE], kept = new_token()
    opened.site["staff"].append({"name": WELFARE, "roles": ["welfare"], "token_hash": kept})
    opened.start()
    yield opened
    opened.stop()


@pytest.fixture
def todoke(door, monkeypatch, capsys):
    def run(who, *words):
        monkeypatch.setenv("TODOKE_NODE", f"http://{door.door}")
        monkeypatch.setenv("TODOKE_TOKEN", door.tokens[who])
        capsys.readouterr()
        code = main([*map(str, words), "-o", "json"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def file(tmp_path):
    def write(text, encoding="cp932"):
        path = tmp_path / "meibo.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_a_roster_is_tried_imported_and_bound_to_the_trial(todoke, file):
    code, tried = todoke(WELFARE, "roster", "check", file(TWO))
    assert (code, tried["people"], tried["new"], tried["unreachable"], tried["encoding"]) == (0, 2, 2, 1, "Shift_JIS")
    assert todoke(WELFARE, "roster", "import", file(TWO), "--drill", "--dry-run") == (0, tried)
    code, _ = todoke(
        WELFARE,
        "roster",
        "import",
        file(TWO + "R3,住民0003,大沢1-1-1,\n"),
        "--drill",
        "--checked",
        tried["fingerprint"],
    )
    assert code == 9, "another file than the one that was tried"
    code, taken = todoke(WELFARE, "roster", "import", file(TWO), "--drill", "--checked", tried["fingerprint"])
    assert (code, taken) == (0, tried)
    code, again = todoke(WELFARE, "roster", "check", file(TWO, "utf-8-sig"))
    assert (code, again["same"], again["new"], again["encoding"]) == (0, 2, 0, "UTF-8")
    code, _ = todoke(WELFARE, "roster", "import", file(TWO), "--live", "--checked", again["fingerprint"])
    assert code == 5, "the node is in drill mode"


def test_every_bad_row_is_told_and_names_nobody(todoke, file):
    code, said = todoke(WELFARE, "roster", "check", file(HEAD + "R 1,住民0001,大沢2-6-18,\nR2,住民0002,どこか,\n"))
    assert code == 2
    assert [finding["where"] for finding in said["findings"]] == ["csv:2: person_id 宛名番号", "csv:3: address 住所"]
    assert "住民" not in json.dumps(said, ensure_ascii=False)


def test_nobody_but_the_role_welfare_touches_the_roster(todoke, file):
    for words in (("check", file(TWO)), ("import", file(TWO), "--drill", "--checked", "0" * 64)):
        code, said = todoke(ORIGINATOR, "roster", *words)
        assert code == 5, said


def test_a_packed_file_that_never_ends_is_refused(door):
    bomb = gzip.compress(b"\n" * (300 * 1024 * 1024), 9)
    for packed in (bomb, bomb[:1000], bomb[:100] + b"\0" * 100):
        status, _, said = door.ask(WELFARE, "POST", "/roster/check", {"csv": base64.b64encode(packed).decode()})
        assert status == 422
        assert said["findings"]
    status, _, _ = door.ask(WELFARE, "POST", "/roster/check", {"csv": "not base64!"})
    assert status == 422


def test_states_are_handed_over_and_taken_as_pfif_with_a_reason(todoke, file, door, tmp_path):
    people = "".join(f"R{n},住民{n:04d},大沢2-6-{n + 1},r{n}@example.jp,{n % 2}\n" for n in range(6))
    roster = file(HEAD.strip() + ",閲覧制限\n" + people)
    _, tried = todoke(WELFARE, "roster", "check", roster)
    assert todoke(WELFARE, "roster", "import", roster, "--drill", "--checked", tried["fingerprint"])[0] == 0
    loop, campaigns = door.node.confirmation, door.node.ledger.campaigns
    quarter = door.node.path.city.find("大沢二丁目")[0].code
    campaign = door.run(loop.start("職員A", about="", quarters=[quarter], kind="safety"))

    async def is_enrolled():
        return bool((await campaigns.get(campaign)).body["is_enrolled"])

    door.run(until(is_enrolled))
    out = tmp_path / "anpi.xml"
    code, said = todoke(WELFARE, "pfif", "export", campaign, "--reason", "handover", "--out", out)
    assert code == 0, said
    assert out.stat().st_mode & 0o777 == 0o600
    names = sorted(person.get("full_name") for person in outline(out.read_bytes()).all("person"))
    assert names == ["住民0000", "住民0002", "住民0004"], "nobody under restriction"
    assert todoke(ORIGINATOR, "pfif", "export", campaign, "--reason", "handover", "--out", tmp_path / "no.xml")[0] == 5
    assert not (tmp_path / "no.xml").exists()

    theirs, text = tmp_path / "theirs.xml", out.read_text().replace("information_sought", "believed_alive")
    theirs.write_text(text.replace("/person.", ".else/person.").replace("/note.", ".else/note."))
    for _ in range(2):
        code, heard = todoke(WELFARE, "pfif", "import", theirs, "--drill", "--reason", "inquiry")
        assert (code, heard) == (0, {"reports": 3, "sought": 0, "ours": 0})
    code, heard = todoke(WELFARE, "pfif", "import", out, "--drill", "--reason", "inquiry")
    assert (code, heard) == (0, {"reports": 0, "sought": 0, "ours": 3})
    assert len(door.run(loop.unmatched(campaign))) == 3, "taken twice, it is one"
    story = door.run(door.node.ledger.story(limit=100))
    exported = [(e.event.subject, dict(e.event.facts)) for e in story if e.event.name == "safety.exported"]
    assert exported == [(campaign, {"by": WELFARE, "reason": "handover"})]
