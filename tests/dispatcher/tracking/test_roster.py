"""The roster: a file in either encoding becomes people or a list of all that is wrong with it, and nobody reads the database."""

import io
import sqlite3
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.cities import load
from config.secret import Secret
from dispatcher.clock import SystemClock
from dispatcher.errors import InvalidInput, Refused, StaleHash
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.tracking.roster import Roster
from dispatcher.tracking.roster.person import COLUMNS, Person
from dispatcher.tracking.roster.reading import people, survey

CITY = load("mitaka")
TODAY = date(2026, 11, 21)
COHORTS = frozenset({"needs_help", "pupil", "nursery", "watch"})
KEY = Secret("0123456789abcdef0123456789abcdef")
HEAD = "person_id,name,address"


def file_of(text, encoding="utf-8"):
    return io.BytesIO(text.encode(encoding))


def rows(*lines, head=HEAD):
    return file_of("\r\n".join([head, *lines, ""]))


def read(file):
    return list(people(file, survey(file, "r.csv", CITY, COHORTS, TODAY), CITY, COHORTS, TODAY))


def wrong(file):
    with pytest.raises(InvalidInput) as refused:
        survey(file, "r.csv", CITY, COHORTS, TODAY)
    return {finding.where: finding.reason for finding in refused.value.findings}


@pytest.fixture
async def place(tmp_path):
    path = tmp_path / "todoke.db"
    async with open_ledger(f"sqlite:///{path}", mode=Drill, node="test", clock=SystemClock()) as ledger:
        yield ledger, path


# -- reading ---------------------------------------------------------------------------------------------------------

WHOLE = (
    ",".join(COLUMNS.values())
    + "\r\n"
    + "R1,住民0001,ｼﾞｭｳﾐﾝ,1960/4/1,大沢二丁目,東京都三鷹市大沢2-6-18,0422-00-0001 090-0000-0001,ja,needs_help,R1,,,R2,有,1,"
    + "a@example.jp;b@example.jp,T0001,out@example.com,03-0000-0001,車いす\r\n"
    + "R2,住民0002,,20200401,,下連雀三丁目24番3号,,,,R1,N01,R1,,,,,,,,\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_a_file_is_read_in_whatever_encoding_a_citys_tools_write(encoding):
    one, two = read(file_of(WHOLE, encoding))
    assert one == Person(
        person_id="R1",
        name="住民0001",
        kana="ｼﾞｭｳﾐﾝ",
        birth_date="1960-04-01",
        quarter=CITY.find("大沢二丁目")[0].code,
        address="東京都三鷹市大沢2-6-18",
        phones=("0422-00-0001", "090-0000-0001"),
        cohorts=("needs_help",),
        household="R1",
        supporters=("R2",),
        consent=True,
        restricted=True,
        mails=("a@example.jp", "b@example.jp"),
        terminal="T0001",
        relative_mails=("out@example.com",),
        relative_phones=("03-0000-0001",),
        note="車いす",
    )
    assert (two.quarter, two.guardians, two.birth_date) == (CITY.find("下連雀三丁目")[0].code, ("R1",), "2020-04-01")
    assert Person.read(one.written()) == one
    assert "住民" not in repr(one)


def test_which_encoding_it_was_is_said():
    assert survey(file_of(WHOLE, "cp932"), "r.csv", CITY, COHORTS, TODAY).encoding == "Shift_JIS"
    assert survey(file_of(WHOLE, "utf-8-sig"), "r.csv", CITY, COHORTS, TODAY).encoding == "UTF-8"


def test_mixed_and_broken_bytes_are_refused_with_their_lines():
    lines = [f"R{n},住民{n:04d},大沢2-6-{n + 1}".encode() for n in range(5)]
    lines[3] = lines[3].decode().encode("cp932")
    mixed = wrong(io.BytesIO(b"\n".join([HEAD.encode(), *lines])))
    assert list(mixed) == ["r.csv:5"]
    assert "Shift_JIS" in mixed["r.csv:5"]
    broken = [line.decode("utf-8", "replace").encode("cp932", "replace") for line in lines]
    broken[1] = b"R1,\xff\xfe\xfd,\x81"
    assert list(wrong(io.BytesIO(b"\n".join([HEAD.encode(), *broken])))) == ["r.csv:3"]
    marked = b"\xef\xbb\xbf" + HEAD.encode() + b"\n" + "R1,住民,大沢2-6-1".encode("cp932")
    assert list(wrong(io.BytesIO(marked))) == ["r.csv:2"]


@pytest.mark.parametrize(
    ("file", "where"),
    [
        (b"", "r.csv"),
        (HEAD.encode(), "r.csv:1"),
        (b"person_id,name\nR1,x\n", "r.csv:1: address 住所"),
        (b"person_id,name,address,colour\nR1,x,y,z\n", "r.csv:1: 4"),
        (b"person_id,name,address,name\nR1,x,y,z\n", "r.csv:1: name 氏名"),
        ((HEAD + '\nR1,"住民,大沢2-6-1\n').encode(), "r.csv:2"),
        ((HEAD + "\nR1,住民\n").encode(), "r.csv:2"),
        ((HEAD + "\nR1,住民\0,大沢2-6-1\n").encode(), "r.csv:2: name 氏名"),
        ((HEAD + "\n" + "x" * 70_000).encode(), "r.csv:2"),
    ],
)
def test_what_is_no_roster_is_refused_with_its_place(file, where):
    assert where in wrong(io.BytesIO(file))


def test_every_bad_row_is_named_with_column_and_what_is_accepted():
    head = "person_id,name,address,quarter,birth_date,phones,language,cohorts,household,guardians,supporters,restricted,mails"
    good = "R1,住民0001,大沢2-6-18,,1960-04-01,,,,,,,,"
    found = wrong(
        rows(
            good,
            "R 2,住民0002,大沢2-6-18,,,,,,,,,,",
            "R3,,大沢2-6-18,,,,,,,,,,",
            "R4,住民0004,東京都武蔵野市中町1-1-1,,,,,,,,,,",
            "R5,住民0005,大沢,,,,,,,,,,",
            "R6,住民0006,大沢2-6-18,大沢一丁目,,,,,,,,,",
            "R7,住民0007,大沢2-6-18,,2026-02-30,,,,,,,,",
            "R8,住民0008,大沢2-6-18,,2099-01-01,,,,,,,,",
            "R9,住民0009,大沢2-6-18,,,110,,,,,,,",
            "R10,住民0010,大沢2-6-18,,,,fr,,,,,,",
            "R11,住民0011,大沢2-6-18,,,,,asleep,,,,,",
            "R12,住民0012,大沢2-6-18,,,,,,R99,,,,",
            "R13,住民0013,大沢2-6-18,,,,,,,R13,,,",
            "R14,住民0014,大沢2-6-18,,,,,,,,R98 R97,,",
            "R15,住民0015,大沢2-6-18,,,,,,,,,たぶん,",
            "R16,住民0016,大沢2-6-18,,,,,,,,,,a b@c",
            "R1,住民0017,大沢2-6-18,,,,,,,,,,",
            "R18,住民0001,大沢2-6-18,,1960-04-01,,,,,,,,",
            "R19,\u202e住民,大沢2-6-18,,,,,,,,,,",
            head=head,
        )
    )
    assert list(found) == [
        "r.csv:3: person_id 宛名番号",
        "r.csv:4: name 氏名",
        "r.csv:5: address 住所",
        "r.csv:6: address 住所",
        "r.csv:7: quarter 町丁目",
        "r.csv:8: birth_date 生年月日",
        "r.csv:9: birth_date 生年月日",
        "r.csv:10: phones 電話",
        "r.csv:11: language 言語",
        "r.csv:12: cohorts 区分",
        "r.csv:14: guardians 保護者",
        "r.csv:16: restricted 閲覧制限",
        "r.csv:17: mails メール",
        "r.csv:18: person_id 宛名番号",
        "r.csv:19: name 氏名",
        "r.csv:20: name 氏名",
        "r.csv:13: household 世帯主",
        "r.csv:15: supporters 支援者",
    ]
    assert not any(
        "住民" in reason or "大沢2-6-18" in reason.replace("例: 大沢2-6-18", "") for reason in found.values()
    )


def test_ten_thousand_bad_rows_are_counted_and_a_thousand_shown():
    found = wrong(rows(*(f"R{n},住民,どこか" for n in range(10_000))))
    assert len(found) == 1001
    assert "9000" in found["r.csv"]


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", HEAD.encode() + b"\n", ",".join(COLUMNS.values()).encode("cp932") + b"\n"]),
)
def test_hostile_bytes_are_people_or_findings_and_nothing_else(data, head):
    try:
        found = read(io.BytesIO(head + data))
    except InvalidInput as refused:
        assert refused.findings
    else:
        assert found


# -- the service -----------------------------------------------------------------------------------------------------


async def test_a_dry_run_says_what_would_change_and_the_import_is_bound_to_it(place):
    ledger, _ = place
    roster = Roster(ledger.campaigns, KEY, CITY, SystemClock())
    first = rows(*(f"R{n},住民{n:04d},大沢2-6-{n + 1}" for n in range(1200)))
    changes = await roster.check(first, "r.csv")
    assert (changes.people, changes.new, changes.gone, changes.unreachable) == (1200, 1200, 0, 1200)
    assert [one async for one in roster.everybody()] == [], "a dry run writes nothing"
    assert await roster.replace("職員A", first, "r.csv", changes.fingerprint) == changes
    second = rows(
        "R0,住民0000,大沢2-6-1",
        "R1,住民0001,大沢2-6-99",
        "R2,住民0002,下連雀3-24-3",
        "N1,住民9999,大沢1-1-1",
    )
    changes = await roster.check(second, "r.csv")
    assert (changes.same, changes.changed, changes.moved, changes.new, changes.gone) == (1, 1, 1, 1, 1197)
    with pytest.raises(StaleHash):
        await roster.replace("職員A", rows("R0,住民0000,大沢2-6-1"), "r.csv", changes.fingerprint)
    await roster.replace("職員A", second, "r.csv", changes.fingerprint)
    with pytest.raises(StaleHash):
        await roster.replace("職員A", second, "r.csv", changes.fingerprint)
    assert {one.person_id async for one in roster.everybody()} == {"R0", "R1", "R2", "N1"}
    there = CITY.find("下連雀三丁目")[0].code
    assert [one.name async for one in roster.everybody([there])] == ["住民0002"]
    assert set(await roster.some(["R1", "N1", "R77"])) == {"R1", "N1"}
    assert await ledger.verify() == []


async def test_a_file_with_one_bad_row_changes_nothing(place):
    ledger, _ = place
    roster = Roster(ledger.campaigns, KEY, CITY, SystemClock())
    good = rows("R1,住民0001,大沢2-6-1")
    await roster.replace("職員A", good, "r.csv", (await roster.check(good, "r.csv")).fingerprint)
    with pytest.raises(InvalidInput):
        await roster.check(rows("R2,住民0002,大沢2-6-1", "R3,住民0003,どこか"), "r.csv")
    assert [one.person_id async for one in roster.everybody()] == ["R1"]


async def test_a_household_is_found_by_its_head_who_comes_first(place):
    ledger, _ = place
    roster = Roster(ledger.campaigns, KEY, CITY, SystemClock())
    names = [
        "A2,住民0002,大沢2-6-1,Z1",
        "Z1,住民0001,大沢2-6-1,Z1",
        "B1,住民0003,大沢2-6-2,B1",
        "C1,住民0004,大沢2-6-3,",
    ]
    file = rows(*names, head=f"{HEAD},household")
    await roster.replace("職員A", file, "r.csv", (await roster.check(file, "r.csv")).fingerprint)
    found = await roster.households(["Z1", "B1", "", "nobody"])
    assert {head: [one.person_id for one in people] for head, people in found.items()} == {
        "Z1": ["Z1", "A2"],
        "B1": ["B1"],
    }


async def test_nobody_reads_the_roster_without_the_key(place):
    ledger, path = place
    roster = Roster(ledger.campaigns, KEY, CITY, SystemClock())
    file = rows("R-CANARY,住民4711,大沢2-6-18")
    await roster.replace("職員A", file, "r.csv", (await roster.check(file, "r.csv")).fingerprint)
    other = Roster(ledger.campaigns, Secret("another key, of thirty-two letters"), CITY, SystemClock())
    assert await other.some(["R-CANARY"]) == {}
    with pytest.raises(Refused, match=r"safety\.key"):
        [one async for one in other.everybody()]
    held = b"".join(each.read_bytes() for each in path.parent.iterdir())
    for canary in ("R-CANARY", "住民4711", "大沢2-6-18", KEY.reveal()):
        assert canary.encode() not in held
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM roster").fetchone() == (1,)
    connection.close()
