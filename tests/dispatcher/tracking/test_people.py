"""What a campaign takes of the roster: each with their own, and nothing of theirs for those from whom somebody is hidden."""

import io
import json

import pytest

from config.cities import load
from config.ladders import Whom
from config.secret import Secret
from dispatcher.clock import SystemClock
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.tracking.confirmation.case import Case, Spoken
from dispatcher.tracking.confirmation.people import People
from dispatcher.tracking.release import Releases
from dispatcher.tracking.roster import Roster
from tests.servers.asking import case, mails

CITY = load("mitaka")
HEAD = "person_id,name,address,household,supporters,consent,restricted,mails,relative_mails,relative_phones"
ROWS = (
    "R1,住民0001,大沢1-1-1,R1,S1;S2,1,,one@example.jp,aunt@example.com,03-0000-0001;03-0000-0002",
    "R2,住民0002,大沢1-1-1,R1,,,1,two@example.jp,uncle@example.com,03-0000-0003",
    "R3,住民0003,大沢1-1-1,R1,,,,three@example.jp,,",
    "S1,住民0011,大沢1-2-1,,,,,s1@example.jp,,",
    "S2,住民0012,大沢1-2-2,,,,1,s2@example.jp,,",
)


@pytest.fixture
async def cases(tmp_path):
    """By common id, as a campaign of the whole city takes them."""
    clock = SystemClock()
    async with open_ledger(f"sqlite:///{tmp_path}/todoke.db", mode=Drill, node="test", clock=clock) as ledger:
        roster = Roster(ledger.campaigns, Secret("0123456789abcdef" * 2), CITY, clock)
        file = io.BytesIO("\n".join([HEAD, *ROWS, ""]).encode())
        await roster.replace("職員A", file, "r.csv", (await roster.check(file, "r.csv")).fingerprint)
        found = {pid: each async for pid, each in People(roster, Releases(ledger, clock)).of(list(CITY.quarters))}
        yield {row.partition(",")[0]: found[roster.pid(row.partition(",")[0])] for row in ROWS}, roster


async def test_whoever_is_under_restriction_is_in_nobodys_home_and_has_none(cases):
    found, roster = cases
    assert found["R1"].home == (roster.pid("R3"),)
    assert found["R3"].home == (roster.pid("R1"),)
    assert found["R2"].home == ()


async def test_nobody_elses_number_or_address_is_kept_of_whoever_is_under_restriction(cases):
    found, _ = cases
    assert found["R1"].relative_phones == ("03-0000-0001", "03-0000-0002")
    assert found["R2"].relative_phones == ()
    assert {contact.whom for contact in found["R2"].contacts} == {Whom.SELF}


async def test_a_supporter_is_kept_by_name_but_for_one_under_restriction(cases):
    found, _ = cases
    supporters = [c for c in found["R1"].contacts if c.whom is Whom.SUPPORTER]
    assert [(c.who, c.name) for c in supporters] == [("S1", "住民0011"), ("S2", "")]
    assert {c.name for c in found["R1"].contacts if c.whom is not Whom.SUPPORTER} == {""}
    assert "住民" not in repr(found["R1"])


def test_a_case_that_was_written_before_its_last_fields_were_there_is_read_without_them():
    _, whole = case(1, *mails(Whom.SELF, "one@example.jp"), home=("R0002",), relative_phones=("03-0000-0001",))
    *fields, (contact,) = json.loads(whole.written())
    older = json.dumps([*fields[:-2], [contact[:-1]]]).encode()
    assert Case.read(whole.written()) == whole
    assert Case.read(older) == case(1, *mails(Whom.SELF, "one@example.jp"))[1]
    assert Spoken.read(older).name == "住民0001"
