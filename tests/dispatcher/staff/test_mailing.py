"""The list of registered mail: the city's own file, signed, taken out by an admin with a reason, and good for another node."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from channels.email_list.register import Register
from channels.email_list.subscribers import Subscriber
from config.cities import load
from dispatcher.__main__ import main
from dispatcher.clock import SystemClock
from dispatcher.signing import Unsigned, signed, verified
from drills.world.email_list import World
from tests.samples import OSAWA
from tests.servers.staff_door import StaffDoor

ADMIN, ORIGINATOR = "職員0005", "職員0001"
SEED = bytes(range(32))


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A node whose list has 120 people of the city's file, one who signed up, and one who left."""
    folder = tmp_path_factory.mktemp("mail")
    world = World(folder / "world", load("mitaka"), 1)
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        runner.run(world.__aenter__())
        opened = StaffDoor(folder)
        opened.site["channels"]["email_list"] = dict(world.settings())
        opened.start()
        stack.callback(lambda: runner.run(world.__aexit__(None, None, None)))
        stack.callback(opened.stop)
        people = opened.node.channels["email_list"]._people
        people.enrol([Subscriber("new@example.jp", ("132040301",), "zh", ("weather",))])
        people.leave("user0001@example.jp")
        yield opened


@pytest.fixture
def todoke(door, monkeypatch, capsys):
    def run(who, *words):
        monkeypatch.setenv("TODOKE_NODE", f"http://{door.door}")
        monkeypatch.setenv("TODOKE_TOKEN", door.tokens[who])
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        return code, json.loads(said.out) if words[-2:] == ("-o", "json") else said.out or said.err

    return run


def export(todoke, out: Path, *more: str):
    return todoke(ADMIN, "mail", "export", "--drill", "--reason", "委託先の変更", "--out", str(out), *more)


def test_the_list_goes_out_signed_and_reads_back_on_another_node(door, todoke, tmp_path):
    out = tmp_path / "list.csv"
    code, said = export(todoke, out, "-o", "json")
    assert code == 0, said
    assert said["people"] == 120
    assert "csv" not in said
    assert {path.stat().st_mode & 0o777 for path in (out, tmp_path / "list.csv.sig")} == {0o600}
    code, checked = todoke(ADMIN, "mail", "verify", str(out), "--key", said["signature"]["key"], "-o", "json")
    assert code == 0
    assert checked["about"]["people"] == 120
    assert checked["about"]["left"] == 1

    other = Register(out, tmp_path, lambda address: address, SystemClock().now)
    other.refresh()
    here = door.node.channels["email_list"]._people
    assert other.count(OSAWA) == here.count(OSAWA)
    assert other.entry("new@example.jp") == Subscriber("new@example.jp", ("132040301",), "zh", ("weather",))
    assert other.entry("user0001@example.jp") is None


def test_an_altered_list_another_key_and_rubbish_are_told(todoke, tmp_path):
    out = tmp_path / "list.csv"
    _, said = export(todoke, out, "-o", "json")
    key = said["signature"]["key"]
    code, text = todoke(ADMIN, "mail", "verify", str(out), "--key", "00" * 32)
    assert code == 1
    assert "not signed by this key" in text
    out.write_text(out.read_text().replace("new@", "nen@"))
    code, text = todoke(ADMIN, "mail", "verify", str(out), "--key", key)
    assert code == 1
    assert "altered" in text
    (tmp_path / "list.csv.sig").write_text("rubbish")
    assert todoke(ADMIN, "mail", "verify", str(out), "--key", key)[0] == 1


def test_only_an_admin_with_a_reason_takes_it_out_and_the_ledger_says_so_without_an_address(door, todoke, tmp_path):
    out = tmp_path / "list.csv"
    words = ("mail", "export", "--drill", "--out", str(out))
    code, _ = todoke(ORIGINATOR, *words, "--reason", "見たい")
    assert code != 0
    code, _ = todoke(ADMIN, *words, "--reason", " ")
    assert code == 2
    code, _ = todoke(ADMIN, "mail", "export", "--live", "--out", str(out), "--reason", "委託先の変更")
    assert code == 5
    assert not out.exists()
    assert export(todoke, out)[0] == 0
    recorded = door.run(door.node.ledger.story(""))
    exported = next(r.event for r in recorded if r.event.name == "mail.exported")
    assert exported.facts["by"] == ADMIN
    assert exported.facts["reason"] == "委託先の変更"
    assert not any(
        "@" in json.dumps(dict(r.event.facts), ensure_ascii=False) for r in recorded if "mail" in r.event.name
    )


def test_a_rehearsed_export_writes_no_file(todoke, tmp_path):
    out = tmp_path / "list.csv"
    code, said = export(todoke, out, "--dry-run")
    assert code == 0
    assert "mail.exported" in said
    assert not out.exists()


def test_a_suspended_address_comes_back_by_staff(door, todoke):
    from channels.email_list.suspension import Fate

    people = door.node.channels["email_list"]._people
    people.gave_back([("user0002@example.jp", Fate.NOBODY, "5.1.1")])
    code, said = todoke(ORIGINATOR, "mail", "suspended", "-o", "json")
    assert (code, said) == (0, {"suspended": {"nobody": 1}})
    words = ("mail", "restore", "--drill", "user0002@example.jp", "--reason", "本人から電話")
    assert todoke(ADMIN, *words, "--dry-run")[0] == 0
    assert people.suspended() == [("nobody", 1)]
    assert todoke(ADMIN, *words)[0] == 0
    assert people.suspended() == []
    assert todoke(ADMIN, *words)[0] == 2


def test_a_signature_covers_the_file_and_all_that_is_said_about_it():
    data, said = b"a,b\n", signed(b"a,b\n", {"people": 1}, SEED)
    assert verified(data, json.dumps(said).encode(), said["key"]) == {"people": 1}
    for name, value in (("about", {"people": 2}), ("size", 5), ("sha256", "00"), ("signature", "00" * 64)):
        with pytest.raises(Unsigned):
            verified(data, json.dumps({**said, name: value}).encode(), said["key"])
    for altered, key in ((b"a,c\n", said["key"]), (data, ""), (data, "zz"), (data, "00" * 31)):
        with pytest.raises(Unsigned):
            verified(altered, json.dumps(said).encode(), key)
    with pytest.raises(Unsigned):
        verified(data, b"[" * 20_000, said["key"])
