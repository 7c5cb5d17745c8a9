"""What the doctor says of what concerns people: the roster, the register of facilities, the list of registered mail."""

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dispatcher.campaigns import RosterRow
from dispatcher.clock import SystemClock
from dispatcher.ledger import Event
from tests.servers.inside import private, with_mail

SAMPLES = Path("config/samples")
YEARS_S = 2 * 366 * 86_400


async def examined(city_hall, capsys):
    capsys.readouterr()
    await city_hall.beside("doctor", "-o", "json")
    return {f["what"]: f for f in json.loads(capsys.readouterr().out)["findings"]}


def with_safety(city_hall):
    key = private(city_hall.folder / "safety", "s" * 44)
    city_hall.change(safety={"key": {"file": str(key)}})
    return key


async def test_safety_without_a_roster_is_named_and_one_with_a_roster_is_well(city_hall, capsys):
    """Nobody noticed until the earthquake that there was nobody to ask."""
    with_safety(city_hall)
    found = (await examined(city_hall, capsys))["名簿 roster"]
    assert found["state"] == "mend"
    assert "todoke roster import" in found["to_do"]
    async with city_hall.up() as node:
        row = RosterRow("p1", "132040301", "", "d", b"sealed with another key")
        await node.ledger.campaigns.replace_roster(one(row), Event("roster.imported", ""))
    assert (await examined(city_hall, capsys))["名簿 roster"]["state"] == "good"


async def one(row):
    yield row


async def test_the_key_of_another_site_and_a_campaign_whose_key_no_backup_had_are_named(city_hall, capsys):
    """After the fire the ledger was restored, with the key of the neighbouring city; nobody's roster opened."""
    key = with_safety(city_hall)
    async with city_hall.up() as node:
        file = io.BytesIO("宛名番号,氏名,住所,メール\nR1,住民0001,大沢2-6-18,r1@example.jp\n".encode())
        changes = await node.roster.check(file, "csv")
        await node.roster.replace("福祉0001", file, "csv", changes.fingerprint)
        campaign = await node.confirmation.start("職員0001", about="", quarters=["132040302"], kind="safety")
    assert (await examined(city_hall, capsys))["安否の鍵 safety.key"]["state"] == "good"
    private(key, "n" * 44)
    found = (await examined(city_hall, capsys))["安否の鍵 safety.key"]
    assert found["state"] == "broken"
    assert "roster" in found["words"]
    assert campaign in found["words"]
    private(key, "s" * 44)
    assert await city_hall.beside("backup", "--to", str(city_hall.folder / "backup.tar"), "--with-keys") == 0
    assert await city_hall.beside("restore", str(city_hall.folder / "backup.tar"), "--replace") == 0
    found = await examined(city_hall, capsys)
    assert found["安否の鍵 safety.key"]["state"] == "good"
    assert found["安否確認 campaigns"]["state"] == "mend"
    assert campaign in found["安否確認 campaigns"]["words"]


async def test_a_safety_key_that_others_may_read_is_named(city_hall, capsys):
    with_safety(city_hall).chmod(0o644)
    found = await examined(city_hall, capsys)
    assert [f["state"] for what, f in found.items() if "safety.key" in what] == ["broken"]


async def test_a_register_of_facilities_that_nobody_has_touched_for_a_year_is_to_be_looked_at(city_hall, capsys):
    """Half its telephone numbers were those of people who had left in April."""
    register = city_hall.folder / "facilities.csv"
    shutil.copyfile(SAMPLES / "facilities.csv", register)
    register.chmod(0o640)
    links = private(city_hall.folder / "facility-links", "f" * 64)
    city_hall.change(facilities={"register": str(register), "secret": {"file": str(links)}})
    found = await examined(city_hall, capsys)
    assert found["施設 facilities"]["state"] == "good"
    assert "施設 facilities register" not in found
    old_s = SystemClock().now().timestamp() - YEARS_S
    os.utime(register, (old_s, old_s))
    register.chmod(0o644)
    found = await examined(city_hall, capsys)
    assert found["施設 facilities"]["state"] == found["施設 facilities register"]["state"] == "mend"


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
async def test_a_short_dkim_key_and_a_list_that_anybody_may_read_are_named(city_hall, capsys):
    with_mail(city_hall)
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = private(city_hall.folder / "dkim.pem", pem)
    mail = city_hall.blocks("email_list")
    mail["dkim"] = [{"selector": "old", "domain": "kunren.bousai.example.jp", "key": {"file": str(path)}}]
    city_hall.change(channels={"email_list": mail})
    (city_hall.folder / "subscribers.csv").chmod(0o644)
    found = await examined(city_hall, capsys)
    assert "1024" in found["媒体 channel email_list.dkim"]["words"]
    assert found["媒体 channel email_list.subscribers"]["to_do"].startswith("chmod o=")


@pytest.mark.postgres
async def test_with_a_ledger_of_several_nodes_it_says_where_sign_ups_stand(city_hall, postgres, capsys):
    """They were thought to be in the ledger, until that machine burnt."""
    with_mail(city_hall)
    city_hall.change(ledger=postgres.database())
    found = await examined(city_hall, capsys)
    assert "this node alone" in found["媒体 channel email_list.register"]["words"]
    assert "share the folder" in found["媒体 channel website.folder"]["to_do"]
