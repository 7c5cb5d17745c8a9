"""When a campaign's key is destroyed, no byte of what people were called and what they said can be read from any file of the node.

Every name, address and answer here is a canary. The node asks, is answered, is backed up, logs, and destroys; then each file that
it holds is read while it is still up, and again when it is down.
"""

import asyncio
import base64
import gzip
import io
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import replace
from itertools import product

import pytest
import structlog

from dispatcher.log import to_stderr
from dispatcher.model.campaign import Answer, Progress
from dispatcher.model.report import Reported
from dispatcher.sealing import Box, Unopened
from dispatcher.tracking.caring import Cell
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.keys import KeyRing
from dispatcher.tracking.confirmation.lifetime import counted
from dispatcher.tracking.confirmation.outbox import link_name
from tests.contracts.ledger_contract import REAL, until
from tests.servers.inside import Node

KEY = "the site's key of thirty-two letters"
PEOPLE, ANSWERED = 620, 520
CANARIES = (
    "住民4711",
    "カナリア",
    "canary@example.jp",
    "090-4711-4711",
    "大沢2-6-47",
    "屋根の上にいます",
    "R-4711",
    "床下のねこ",
)
HEAD = "person_id,name,kana,address,phones,mails,note,restricted"


@pytest.fixture(autouse=True)
def _logged_to_stderr():
    to_stderr()
    yield
    structlog.reset_defaults()


@pytest.fixture
def city_hall(tmp_path):
    node = Node(tmp_path)
    (tmp_path / "safety").write_text(KEY)
    (tmp_path / "safety").chmod(0o600)
    node.change(safety={"key": {"file": "safety"}})
    return node


def a_roster():
    lines = [
        f"R-4711{n or ''},住民4711{n or ''},カナリア,大沢2-6-47,090-4711-4711,canary@example.jp,床下のねこ,{n % 2}"
        for n in range(PEOPLE)
    ]
    return io.BytesIO("\n".join([HEAD, *lines]).encode())


def every_file(folder):
    """Each file's bytes by its name; what is packed in it besides."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "safety":
            data = path.read_bytes()
            yield str(path), data
            if tarfile.is_tarfile(path):
                with tarfile.open(path) as tar:
                    for member in tar.getmembers():
                        packed = tar.extractfile(member)
                        yield f"{path}:{member.name}", packed.read() if packed else b""
            elif path.suffix == ".gz":
                yield f"{path}:unpacked", gzip.decompress(data)


def seen_in(folder, secrets):
    """Which of these stand in which file."""
    return {
        (secret, name)
        for name, data in every_file(folder)
        for secret in secrets
        if secret in data or base64.b64encode(secret).rstrip(b"=") in data or secret.hex().encode() in data
    }


def sealed_rows(file):
    """Every sealed byte string of people, replies and keys in a ledger."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        return [
            {sealed for (sealed,) in connection.execute(f"SELECT sealed FROM {table}")}
            for table in ("asked", "replies", "campaign_keys")
        ]


async def asked_and_answered(running):
    """A campaign of which everything has been heard that can be."""
    ledger, loop = running.ledger, running.confirmation
    file = a_roster()
    await running.roster.replace("職員A", file, "r.csv", (await running.roster.check(file, "r.csv")).fingerprint)
    quarter = running.path.city.find("大沢二丁目")[0].code
    id_ = await loop.start("職員A", about="", quarters=[quarter], kind="safety")

    async def is_enrolled():
        return bool((await ledger.campaigns.get(id_)).body["is_enrolled"])

    await until(is_enrolled)
    campaign = await ledger.campaigns.get(id_)
    keys = KeyRing(KEY.encode()).of(campaign)
    rows = [row async for row in ledger.campaigns.each(id_)]
    async with asyncio.TaskGroup() as tasks:
        for row in rows[:ANSWERED]:
            own = Case.read(keys.open(row.sealed, row.id)).contacts[0]
            token = keys.token(row.id, link_name(own, 0))
            tasks.create_task(loop.answering.answer(token, Answer.HELP, {"note": "屋根の上にいます"}, "website"))
    unknown = Reported("k", Answer.HURT, saw=True, medium="website", at=REAL.now(), name="住民4711のとなり")
    assert await loop.answering.report(unknown)
    return campaign


async def test_after_the_key_is_destroyed_no_byte_of_names_and_answers_is_left_in_any_file(city_hall, capfd):
    ledger = city_hall.site().state_dir / "todoke.db"
    async with city_hall.up() as running:
        campaign = await asked_and_answered(running)
        assert await running.ledger.verify() == []
        assert await city_hall.beside("backup", "--to", str(city_hall.folder / "before.tar"), "--with-keys") == 0
        people, heard, sealed_keys = sealed_rows(ledger)
        assert len(people) == PEOPLE
        assert len(heard) == ANSWERED + 1
        assert sealed_keys == {campaign.sealed_key}
        event_key = Box(KEY.encode(), "safety campaign key").open(campaign.sealed_key, campaign.id.encode())

        cells = await running.confirmation.cells(campaign.id)
        heard_of = sum(cell.count for cell in cells if cell.answer is Answer.HELP and not cell.is_restricted)
        await running.confirmation.close("職員A", campaign.id)
        await running.confirmation.destroy(campaign.id)

        texts = [canary.encode(encoding) for canary in CANARIES for encoding in ("utf-8", "cp932")]
        secrets = [event_key, campaign.sealed_key, *texts]
        assert seen_in(city_hall.folder, secrets) == set(), "while the node is up"
        assert await running.ledger.verify() == []
        kept = await running.ledger.campaigns.get(campaign.id)
        assert kept.is_destroyed
        least, most = kept.body["counts"]["help"]
        assert 0 < least <= heard_of <= most, "counts stay, of those who may be counted"
    assert seen_in(city_hall.folder, secrets) == set(), "when it is down"
    left = ledger.read_bytes()
    assert not [row for row in (*people, *heard) if row in left], "nor what only the key could open"
    said = "".join(capfd.readouterr())
    assert not [canary for canary in CANARIES if canary in said]


async def test_a_backup_has_no_campaigns_key_and_its_rows_stay_shut(city_hall, tmp_path):
    backup = city_hall.folder / "b.tar"
    async with city_hall.up() as running:
        campaign = await asked_and_answered(running)
        assert await city_hall.beside("backup", "--to", str(backup), "--with-keys") == 0
    with tarfile.open(backup) as tar:
        (tmp_path / "copy.db").write_bytes(tar.extractfile("ledger.db").read())
    people, _, keys = sealed_rows(tmp_path / "copy.db")
    assert (len(people), keys) == (PEOPLE, set())
    assert campaign.sealed_key not in (tmp_path / "copy.db").read_bytes()
    purposes = ("safety case", "safety roster", "safety campaign key", "safety code", "todoke accounts 1")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        rows = connection.execute("SELECT id, sealed FROM asked").fetchall()
    boxes = [Box(KEY.encode(), purpose) for purpose in purposes]
    for (person, sealed), box in product(rows, boxes):
        with pytest.raises(Unopened):
            box.open(sealed, f"{campaign.id}\0{person}".encode())


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ({None: 40, Answer.OK: 50, Answer.HELP: 4}, {"silent": (40, 40), "ok": (50, 50), "help": (1, 4)}),
        ({None: 40, Answer.OK: 50, Answer.HELP: 1}, {"silent": (40, 40), "ok": (50, 50), "help": (1, 4)}),
        ({None: 3}, {"silent": (1, 4)}),
        ({}, {}),
    ],
)
def test_no_count_stays_from_which_fewer_than_five_people_follow(answers, kept):
    cells = [cell(answer, count) for answer, count in answers.items()]
    hidden = [cell(Answer.HELP, 60, is_restricted=True)]
    nobody = dict.fromkeys(("help", "hurt", "silent", "ok"), (0, 0))
    assert counted([*cells, *hidden]) == {**nobody, **kept}


def test_what_stays_is_no_sum_by_which_a_quarter_that_was_hidden_follows():
    elsewhere = replace(cell(Answer.OK, 2), quarter="132040301")
    assert counted([cell(Answer.OK, 50), elsewhere])["ok"] == (51, 54)


def cell(answer, count, *, is_restricted=False):
    return Cell(
        quarter="132040302",
        cohort="",
        facility="",
        is_restricted=is_restricted,
        answer=answer,
        progress=Progress.ASKED,
        is_conflict=False,
        is_visited=False,
        count=count,
    )


async def test_the_timer_of_the_thirtieth_day_destroys_what_was_closed(city_hall):
    ledger = city_hall.site().state_dir / "todoke.db"
    async with city_hall.up() as running:
        campaign = await asked_and_answered(running)
        await running.confirmation.close("職員A", campaign.id)
        with closing(sqlite3.connect(ledger, timeout=10)) as connection, connection:
            timer = "FROM deliveries WHERE key LIKE '%safety/destroy'"
            ((due_at,),) = connection.execute(f"SELECT due_at {timer}").fetchall()
            assert abs(due_at - REAL.now().timestamp() - 30 * 86_400) < 3600
            connection.execute("UPDATE deliveries SET due_at = 1 WHERE key LIKE '%safety/destroy'")

        async def is_destroyed():
            running.ledger.wake()
            return (await running.ledger.campaigns.get(campaign.id)).is_destroyed

        await until(is_destroyed)
