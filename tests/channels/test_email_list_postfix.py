"""Registered mail into a real Postfix, which pipelines, refuses one and delivers the rest into a maildir."""

import asyncio
import email
import email.policy
from pathlib import Path

import pytest

from channels.email_list import EmailList, IncomingSettings, RelaySettings, Settings
from channels.email_list.relay import Tls
from config.secret import Secret
from dispatcher.clock import SystemClock
from dispatcher.model.delivery import Outcome, Receipt
from dispatcher.model.mode import Drill
from drills.world.ports import free_port
from tests.contracts.channel_contract import Memory, attempt, members, surroundings
from tests.samples import OSAWA, evacuation_order
from tests.servers.postfix import postfix

PEOPLE = [f"user{n:04d}@example.jp" for n in range(30)]


@pytest.fixture(scope="module")
def relay():
    with postfix() as relay:
        yield relay


def channel_for(port: int, folder: Path, people=(*PEOPLE, "refused@example.jp"), **more) -> EmailList:
    register = folder / "subscribers.csv"
    lines = [f"{address},132040301,ja" for address in people]
    register.write_text("\n".join(("address,quarters,language", *lines)) + "\n")
    settings = Settings(
        subscribers=register,
        sender="kunren@bousai.example.jp",
        sender_name="三鷹市（訓練）",
        list_id="kunren.bousai.example.jp",
        secret=Secret("0123456789abcdef"),
        unsubscribe_url="https://bousai.example.jp/unsubscribe",
        listen="127.0.0.1:0",
        relay=RelaySettings(host="127.0.0.1", port=port, tls=Tls.NONE),
        **more,
    )
    return EmailList(Drill, settings, surroundings(folder / "state"))


async def test_postfix_takes_all_but_the_one_that_it_refuses_and_delivers_what_we_wrote(relay, tmp_path):
    channel = channel_for(relay.port, tmp_path)
    async with channel.open(Memory()):
        assert (await channel.probe()).is_up
        rendering = channel.render(evacuation_order(Drill), await channel.audience(OSAWA))
        told = {t.address: t for t in await attempt(channel, rendering, await members(channel))}
    refused = told.pop("refused@example.jp")
    assert refused.outcome is Outcome.PERMANENT
    assert "550 5.1.1" in refused.words
    assert {t.outcome for t in told.values()} == {Outcome.TAKEN}
    assert len({t.medium_id for t in told.values()}) == len(PEOPLE)
    async with asyncio.timeout(30):
        while len(relay.maildir) < len(PEOPLE):
            await SystemClock().sleep(0.05)
    mails = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in relay.maildir]
    assert sorted(mail["Delivered-To"] for mail in mails) == PEOPLE
    for mail in mails:
        assert mail["Return-Path"] == f"<{channel._sender.bounces(mail['Delivered-To'])}>"
        assert mail["Message-ID"] == channel._sender.message_id(rendering.identifier, mail["Delivered-To"])
        assert mail["Subject"].startswith("【訓練】レベル4 大沢")
        assert "いますぐ避難" in mail.get_content()


async def test_what_postfix_gives_back_later_is_a_receipt_and_stops_the_address(tmp_path):
    door = free_port()
    incoming = IncomingSettings(listen=f"127.0.0.1:{door}", enrol="touroku@bousai.example.jp")
    people = ("here@example.jp", "somebody@gone.example.jp")
    inbox = Memory()
    # All that is for elsewhere goes to our own door, which knows nobody at gone.example.jp: so Postfix has to give it back.
    with postfix(transport=f"smtp:[127.0.0.1]:{door}") as relay:
        channel = channel_for(relay.port, tmp_path, people, incoming=incoming)
        async with channel.open(inbox):
            rendering = channel.render(evacuation_order(Drill), await channel.audience(OSAWA))
            told = await attempt(channel, rendering, await members(channel))
            assert {t.outcome for t in told} == {Outcome.TAKEN}
            async with asyncio.timeout(30):
                await inbox.came.wait()
            (bounced,) = inbox.received
            assert (bounced.identifier, bounced.address) == (rendering.identifier, "somebody@gone.example.jp")
            assert bounced.receipt is Receipt.BOUNCED
            assert "550 5.1.1 No such address here" in bounced.words
            assert "@" not in bounced.words
            async with asyncio.timeout(30):
                while [d.address for d in await members(channel)] != ["here@example.jp"]:
                    await SystemClock().sleep(0.05)
