"""Registered mail against a strict relay on loopback: STARTTLS, AUTH, one recipient a mail; faults are asked of the relay."""

import email
import email.policy
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email_list import DkimSettings, DomainRate, EmailList, IncomingSettings, Kind, RelaySettings, Settings
from channels.email_list.letter import Letter, Sender, write
from channels.email_list.relay import Tls
from config.cities import load
from config.secret import Secret
from dispatcher.channel import Recipient, with_banner
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from drills.world.email_list import World
from tests.contracts.channel_contract import ChannelContract, Memory, Rig, attempt, members, surroundings
from tests.samples import OSAWA, evacuation_order, retraction

ORDER = evacuation_order(Drill)
SENDER = Sender(
    name="三鷹市（訓練）",
    address="kunren@bousai.example.jp",
    list_id="kunren.bousai.example.jp",
    unsubscribe_url="https://bousai.example.jp/unsubscribe",
    secret=Secret("0123456789abcdef"),
)


def parsed(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def settings_for(world: World, **changed) -> Settings:
    said = dict(world.settings())
    relay = dict(said.pop("relay"))
    relay["password"] = Secret(Path(relay["password"]["file"]).read_text())
    said |= {
        "subscribers": Path(said["subscribers"]),
        "secret": Secret(Path(said["secret"]["file"]).read_text()),
        "relay": RelaySettings(**{**relay, "ca": Path(relay["ca"])}),
        "timeout": 5.0,
        "incoming": IncomingSettings(**said["incoming"]),
    }
    return Settings(**{**said, **changed})


class MailRig(Rig):
    says_twice_is_avoided = False

    def __init__(self, world: World, state_dir: Path, **changed) -> None:
        self.world = world
        self.state_dir = state_dir
        self.channel = self.of(Drill, **changed)

    def of(self, mode, **changed):
        return EmailList(mode, settings_for(self.world, **changed), surroundings(self.state_dir))

    def other_mode(self):
        return self.of(Live)

    async def texts(self) -> Sequence[tuple[str, str]]:
        found = []
        for mail in map(parsed, (received.data for received in self.world.mails)):
            found.append((mail["Content-Language"], f"{mail['Subject']}\n{mail.get_content()}"))
            found.append((mail["Content-Language"], mail["Subject"]))
        return found

    async def tellings(self, rendering: Rendering[Drill]) -> Counter[str]:
        sender = self.channel._sender
        ids = {sender.message_id(rendering.identifier, a) for m in self.world.mails for a in m.recipients}
        return Counter(m.recipients[0] for m in self.world.mails if parsed(m.data)["Message-ID"].strip() in ids)

    @asynccontextmanager
    async def broken(self):
        async with self.world.down():
            yield


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path / "world", load("mitaka"), 1) as world:
        yield world


@pytest.fixture
async def rig(world: World, tmp_path: Path) -> AsyncIterator[MailRig]:
    rig = MailRig(world, tmp_path / "state")
    async with rig.channel.open(Memory()):
        yield rig


async def send(rig: MailRig, to: Sequence[Destination] | None = None, alert=ORDER) -> dict[str, Told]:
    rendering = rig.channel.render(alert, await rig.channel.audience(OSAWA))
    told = await attempt(rig.channel, rendering, to if to is not None else await members(rig.channel))
    return {t.address: t for t in told}


class TestContract(ChannelContract):
    @pytest.fixture
    def rig(self, rig: MailRig) -> MailRig:
        return rig


def test_the_node_finds_the_channel_by_its_kind():
    assert Kind is EmailList
    assert Kind.kind == "email_list"
    assert Kind.counts_people


# -- the mail -------------------------------------------------------------------------------------------------------


async def test_each_gets_a_mail_of_their_own_with_the_headers_that_a_list_owes(rig):
    told = await send(rig)
    assert len(rig.world.mails) == len(told) > 10
    for received in rig.world.mails:
        (address,) = received.recipients
        mail = parsed(received.data)
        assert not mail.defects
        assert mail["To"].addresses[0].addr_spec == address
        assert mail["From"].addresses[0].display_name == "三鷹市（訓練）"
        assert mail["List-Id"] == "<kunren.bousai.example.jp>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        link = mail["List-Unsubscribe"].strip("<>")
        assert link.startswith(rig.channel.settings.unsubscribe_url + "?")
        assert link in mail.get_content()
        assert received.sender == rig.channel._sender.bounces(address)
        assert mail.get_content_charset() == "utf-8"
        assert mail["Message-ID"] == rig.channel._sender.message_id(ORDER.identifier, address)
        assert all(len(line) <= 998 for line in received.data.split(b"\r\n"))
        assert told[address].outcome is Outcome.TAKEN
        assert told[address].medium_id
    assert len({received.sender for received in rig.world.mails}) == len(rig.world.mails)
    assert len({parsed(m.data)["List-Unsubscribe"] for m in rig.world.mails}) == len(rig.world.mails)


async def test_banner_level_and_area_stand_in_the_first_fifteen_characters_of_the_subject(rig):
    await send(rig)
    subjects = {m["Content-Language"]: m["Subject"] for m in map(parsed, (r.data for r in rig.world.mails))}
    assert subjects["ja"][:15] == "【訓練】レベル4 大沢 避難指"
    assert subjects["ja-x-easy"].startswith("【訓練】レベル4 大沢")
    assert subjects["en-US"].startswith("[DRILL] Level 4 Osawa")


async def test_every_language_stands_in_every_mail_the_readers_own_first(rig):
    await send(rig)
    for mail in map(parsed, (r.data for r in rig.world.mails)):
        text = mail.get_content()
        own = {"ja": "いますぐ避難", "ja-x-easy": "今すぐ 逃げて", "en-US": "evacuate now"}
        places = {language: text.index(words) for language, words in own.items()}
        assert min(places, key=places.get) == mail["Content-Language"]


async def test_a_retractions_subject_says_so_first(rig):
    await send(rig, alert=retraction(ORDER))
    subjects = {m["Content-Language"]: m["Subject"] for m in map(parsed, (r.data for r in rig.world.mails))}
    assert subjects["ja"].startswith("【訓練】【取消】")
    assert subjects["en-US"].startswith("[DRILL] [CANCELLED]")


async def test_a_repeat_carries_the_same_bytes(rig):
    to = (await members(rig.channel))[:1]
    await send(rig, to)
    await send(rig, to)
    first, second = rig.world.mails
    assert first.data == second.data


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=80), st.integers(0, 60))
def test_whatever_is_written_reads_back_and_the_personal_end_follows_it(words, length):
    alert = with_banner(ORDER, Drill)
    info = replace(alert.info[0], headline="【訓練】" + words, description="あ" * length)
    template = write(replace(alert, info=(info,)), "ja", SENDER, "【訓練】")
    mail = parsed(template.to("user@example.jp", "id", SENDER, "ja"))
    lines = mail.get_content().splitlines()
    assert lines[0] == "【訓練】" + words
    assert lines[-1] == SENDER.unsubscribe("user@example.jp")
    assert Letter(template.template).to("user@example.jp", "id", SENDER, "ja") == template.to(
        "user@example.jp", "id", SENDER, "ja"
    )


def test_mixed_subjects_lose_nothing():
    chance = random.Random(1)
    letters = "大沢 ①㈱髙﨑～ abc 避難  指示 é🚨"
    for _ in range(300):
        event = "".join(chance.choice(letters) for _ in range(chance.randint(1, 60))).strip() or "x"
        info = replace(with_banner(ORDER, Drill).info[0], event=event)
        mail = parsed(
            write(replace(ORDER, info=(info,)), "ja", SENDER, "【訓練】").to("a@example.jp", "i", SENDER, "ja")
        )
        assert mail["Subject"].endswith(event)


# -- to people one by one -------------------------------------------------------------------------------------------


async def each(rig: MailRig, *recipients: Recipient) -> dict[str, Told]:
    rendering = rig.channel.render(ORDER, await rig.channel.audience(OSAWA))
    told: dict[str, Told] = {}
    await rig.channel.send_each(rendering, recipients, lambda t: told.update({t.address: t}))
    return told


async def test_each_person_gets_a_link_of_their_own_and_no_list_to_leave(rig):
    told = await each(
        rig,
        Recipient("facility:F001:0", "nursery@example.jp", "ja", "https://bousai.example.jp/k/aaaa"),
        Recipient("p2", "guardian@example.jp", "en", "https://bousai.example.jp/a/bbbb"),
    )
    assert {key: t.outcome for key, t in told.items()} == {"facility:F001:0": Outcome.TAKEN, "p2": Outcome.TAKEN}
    first, second = (parsed(m.data) for m in rig.world.mails)
    for mail, label, link in (
        (first, "確認・回答はこちら：", "https://bousai.example.jp/k/aaaa"),
        (second, "Confirm or answer here: ", "https://bousai.example.jp/a/bbbb"),
    ):
        lines = [line.rstrip() for line in mail.get_content().splitlines() if line.strip()]
        assert lines[2:4] == [label.rstrip(), link], "headline and place, then what has to be pressed"
        assert mail.get_content().count(link) == 1
        assert "――――――――" in lines[4:], "other languages follow"
    assert second["Content-Language"] == "en-US"
    for mail in (first, second):
        assert not mail.defects
        assert mail["List-Unsubscribe"] is None
        assert mail["List-Unsubscribe-Post"] is None
        assert mail["Auto-Submitted"] == "auto-generated"
        assert rig.channel.settings.unsubscribe_url not in mail.get_content()


async def test_a_family_that_shares_an_address_is_asked_one_by_one(rig):
    told = await each(
        rig,
        *(Recipient(f"p{n}", "family@example.jp", "ja", f"https://bousai.example.jp/a/{n}") for n in range(3)),
    )
    assert {t.outcome for t in told.values()} == {Outcome.TAKEN}
    assert set(told) == {"p0", "p1", "p2"}
    assert len({parsed(m.data)["Message-ID"] for m in rig.world.mails}) == 3


async def test_what_is_no_address_reaches_nobody_and_the_relay_hears_nothing_of_it(rig):
    told = await each(rig, Recipient("p1", "a@b.jp\r\nRCPT TO:<x@y.jp>", "ja"))
    assert told["p1"].outcome is Outcome.PERMANENT
    assert not rig.world.mails


# -- what relays do -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("550 5.1.1 User unknown", Outcome.PERMANENT),
        ("552 5.2.2 Mailbox full", Outcome.PERMANENT),
        ("450 4.2.0 Greylisted", Outcome.TEMPORARY),
        ("452 4.2.2 Over quota", Outcome.TEMPORARY),
    ],
)
async def test_one_that_is_refused_keeps_nobody_else_waiting(rig, answer, outcome):
    to = (await members(rig.channel))[:9]
    refused = {to[0].address, to[4].address, to[8].address}
    rig.world.answers = dict.fromkeys(refused, answer)
    told = await send(rig, to)
    assert {a for a, t in told.items() if t.outcome is outcome} == refused
    assert all(told[a].words == answer for a in refused)
    assert {t.outcome for a, t in told.items() if a not in refused} == {Outcome.TAKEN}
    assert len(rig.world.mails) == 6


async def test_a_relay_that_closes_in_the_middle_gets_the_rest_on_another_connection(rig):
    to = (await members(rig.channel))[:6]
    rig.world.answers = {to[2].address: "421 4.7.28 Too much mail"}
    told = await send(rig, to)
    assert [told[d.address].outcome for d in to].count(Outcome.TAKEN) == 5
    assert told[to[2].address].outcome is Outcome.TEMPORARY
    assert "4.7.28" in told[to[2].address].words


async def test_a_wrong_password_is_said_in_the_relays_words(rig, tmp_path):
    relay = replace(rig.channel.settings.relay, password=Secret("wrong"))
    channel = EmailList(Drill, replace(rig.channel.settings, relay=relay), surroundings(tmp_path / "other"))
    await channel.audience(OSAWA)
    probe = await channel.probe()
    assert not probe.is_up
    assert "535" in probe.words


async def test_a_certificate_that_nobody_signed_is_refused(rig, tmp_path):
    relay = replace(rig.channel.settings.relay, ca=None)
    channel = EmailList(Drill, replace(rig.channel.settings, relay=relay), surroundings(tmp_path / "other"))
    probe = await channel.probe()
    assert not probe.is_up
    assert "certificate" in probe.words.lower()
    assert not rig.world.mails


async def test_connections_are_kept_and_given_up_after_their_number_of_mails(tmp_path, world):
    rig = MailRig(world, tmp_path / "state", mails_per_connection=4)
    opened = []
    begin = world._session
    world._session = lambda: opened.append(1) or begin()
    await world.stop()
    await world.start()
    async with rig.channel.open(Memory()):
        to = (await members(rig.channel))[:10]
        assert {t.outcome for t in (await send(rig, to)).values()} == {Outcome.TAKEN}
        assert len(opened) == 3
        await send(rig, to[:1])
        assert len(opened) == 3


async def test_what_a_gentle_domain_does_not_bear_now_is_told_when(tmp_path, world):
    rig = MailRig(world, tmp_path / "state", domains=(DomainRate(domain="example.jp", rate=3.0),))
    async with rig.channel.open(Memory()):
        told = await send(rig, (await members(rig.channel))[:8])
        waiting = [t for t in told.values() if t.outcome is Outcome.TEMPORARY]
        assert len(waiting) == 5
        # One turn for all of them: tried once again and not five times.
        assert len({t.retry_after_s for t in waiting}) == 1


# -- unsubscribing --------------------------------------------------------------------------------------------------


async def test_one_click_leaves_the_list_and_opening_the_link_does_not(rig):
    to = await members(rig.channel)
    await send(rig, to[:1])
    link = parsed(rig.world.mails[0].data)["List-Unsubscribe"].strip("<>")
    async with aiohttp.ClientSession() as session:
        async with session.get(link) as response:
            assert response.status == 200
            assert "やめますか" in await response.text()
        assert len(await members(rig.channel)) == len(to)
        for altered in (link[:-1] + ("a" if link[-1] != "a" else "b"), link.replace("key=", "k="), link.split("?")[0]):
            async with session.post(altered, data={"List-Unsubscribe": "One-Click"}) as response:
                assert response.status == 403
        for _ in range(2):
            async with session.post(link, data={"List-Unsubscribe": "One-Click"}) as response:
                assert response.status == 200
    left = await members(rig.channel)
    assert len(left) == len(to) - 1
    assert to[0] not in left
    told = await send(rig, to[:2])
    assert told[to[0].address].outcome is Outcome.PERMANENT
    assert told[to[1].address].outcome is Outcome.TAKEN


async def test_who_left_stays_out_when_the_file_changes(rig):
    to = await members(rig.channel)
    await rig.channel._leave(to[0].address)
    path = rig.channel.settings.subscribers
    path.write_text(path.read_text() + "new@example.jp,132040301,ja\n")
    now = {d.address for d in await members(rig.channel)}
    assert "new@example.jp" in now
    assert to[0].address not in now


async def test_who_signed_up_at_another_node_gets_the_mail_that_was_addressed_to_them(rig):
    """Whichever node of a ledger took their delivery said that they had left, and they never heard of the order."""
    told = await send(rig, [Destination("elsewhere@example.jp")])
    assert told["elsewhere@example.jp"].outcome is Outcome.TAKEN
    assert [mail.recipients[0] for mail in rig.world.mails] == ["elsewhere@example.jp"]


# -- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"sender": "三鷹@example.jp"}, "sender"),
        ({"sender": "a" * 50 + "@example.jp"}, "sender"),
        ({"sender_name": "a\r\nBcc: x@y.jp"}, "sender_name"),
        ({"list_id": "<x>"}, "list_id"),
        ({"secret": Secret("short")}, "secret"),
        ({"unsubscribe_url": "http://bousai.example.jp/u"}, "unsubscribe_url"),
        ({"unsubscribe_url": "https://bousai.example.jp/u?x=1"}, "unsubscribe_url"),
        ({"listen": "8185"}, "listen"),
        ({"connections": 0}, "connections"),
        ({"mails_per_connection": 0}, "mails_per_connection"),
        ({"timeout": 0.0}, "timeout"),
        ({"subscribers": Path("none.csv")}, "subscribers"),
        ({"dkim": (DkimSettings(selector="s", domain="example.com", key=Secret("x")),)}, "dkim"),
        ({"incoming": IncomingSettings(listen="127.0.0.1:25", enrol="kunren@bousai.example.jp")}, "incoming"),
    ],
)
async def test_settings_that_cannot_work_are_named(rig, changed, where):
    assert where in [name for name, _ in replace(rig.channel.settings, **changed).problems()]
    assert not list(rig.channel.settings.problems())


def test_a_door_for_what_comes_back_that_cannot_work_is_named():
    assert [w for w, _ in IncomingSettings(listen="25", enrol="登録@example.jp").problems()] == ["listen", "enrol"]


def test_mail_in_the_clear_is_for_loopback_alone():
    assert [w for w, _ in RelaySettings(host="mail.example.jp", tls=Tls.NONE).problems()] == ["tls"]
    assert [w for w, _ in RelaySettings(host="mail.example.jp", username="x").problems()] == ["username"]
