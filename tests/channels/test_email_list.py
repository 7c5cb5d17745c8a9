"""Registered mail against a strict relay on loopback: STARTTLS, AUTH, one recipient a mail; faults are asked of the relay."""

import asyncio
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

from channels.email_list import DomainRate, EmailList, Kind, RelaySettings, Settings
from channels.email_list.letter import Letter, Sender, write
from channels.email_list.relay import Domains, Tls
from channels.email_list.subscribers import BadSubscribers, Index, is_address, read
from config.cities import load
from config.secret import Secret
from dispatcher.channel import with_banner
from dispatcher.clock import ManualClock
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from drills.world.email_list import World
from tests.contracts.channel_contract import ChannelContract, Memory, Rig, attempt, members, surroundings
from tests.samples import OSAWA, SENT, evacuation_order, retraction

ORDER = evacuation_order(Drill)
SENDER = Sender(
    name="三鷹市（訓練）",
    address="kunren@bousai.example.jp",
    list_id="kunren.bousai.example.jp",
    unsubscribe_url="https://bousai.example.jp/unsubscribe",
    secret="0123456789abcdef",
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
        ids = {SENDER.message_id(rendering.identifier, a) for m in self.world.mails for a in m.recipients}
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
        assert mail["Message-ID"] == SENDER.message_id(ORDER.identifier, address)
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


class Lying:
    """A relay that answers as a test wants: a list of what it says to each line, by its first word."""

    def __init__(self, answers: dict[str, list[str]], extensions: Sequence[str] = ("PIPELINING",)) -> None:
        self.answers = {word: list(said) for word, said in answers.items()}
        self.extensions = extensions
        self.heard: list[str] = []
        self.port = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        defaults = {"DATA": "354 go on", ".": "250 2.0.0 Ok: queued as 4bX"}
        writer.write(b"220 lying ESMTP\r\n")
        is_text = False
        try:
            while line := (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n"):
                while is_text and line != ".":
                    line = (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n")
                word = line.split(" ")[0].split(":")[0].upper()
                self.heard.append(word)
                said = (self.answers.get(word) or [defaults.get(word, "250 ok")]).pop(0)
                is_text = word == "DATA" and said.startswith("354")
                if word == "EHLO":
                    said = "\r\n".join([f"250-{e}" for e in ("lying", *self.extensions)] + ["250 8BITMIME"])
                if said == "DROP":
                    break
                if said == "HANG":
                    await reader.read()
                    break
                writer.write(said.encode("latin-1") + b"\r\n")
                if word == "QUIT":
                    break
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def lying(rig: MailRig, tmp_path: Path, answers: dict[str, list[str]], **more):
    async with Lying(answers, **more) as relay:
        settings = replace(
            rig.channel.settings,
            relay=RelaySettings(host="127.0.0.1", port=relay.port, tls=Tls.NONE),
            timeout=1.0,
            listen="127.0.0.1:0",
        )
        channel = EmailList(Drill, settings, surroundings(tmp_path / "lying"))
        other = MailRig(rig.world, tmp_path / "lying")
        other.channel = channel
        yield other, relay
        channel._relay.close()


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
async def test_a_connection_lost_after_the_text_is_unknown_and_before_it_temporary(rig, tmp_path, extensions):
    to = (await members(rig.channel))[:4]
    answers = {".": ["250 2.0.0 Ok: queued as A", "DROP"]}
    async with lying(rig, tmp_path, answers, extensions=extensions) as (other, _):
        await other.channel.audience(OSAWA)
        told = await send(other, to)
        outcomes = [told[d.address].outcome for d in to]
        assert outcomes[:2] == [Outcome.TAKEN, Outcome.UNKNOWN]
        # With pipelining the third was on its way with the second's text: nothing of its own text had left.
        assert outcomes[2] in {Outcome.TAKEN, Outcome.TEMPORARY}
        assert outcomes[3] is Outcome.TAKEN
        assert told[to[0].address].medium_id == "A"


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
async def test_after_a_refusal_the_transaction_is_reset_before_the_next(rig, tmp_path, extensions):
    to = (await members(rig.channel))[:3]
    answers = {"RCPT": ["250 ok", "550 5.1.1 no"], "DATA": ["354 go on"]}
    if extensions:
        answers["DATA"] = ["354 go on", "554 5.5.1 no valid recipients"]
    async with lying(rig, tmp_path, answers, extensions=extensions) as (other, relay):
        await other.channel.audience(OSAWA)
        told = await send(other, to)
        assert [told[d.address].outcome for d in to] == [Outcome.TAKEN, Outcome.PERMANENT, Outcome.TAKEN]
        assert told[to[1].address].words == "550 5.1.1 no"
        assert relay.heard.count("RSET") == 1


async def test_a_relay_that_says_go_on_after_refusing_gets_no_text(rig, tmp_path):
    to = (await members(rig.channel))[:2]
    async with lying(rig, tmp_path, {"RCPT": ["550 5.1.1 no"]}) as (other, _):
        await other.channel.audience(OSAWA)
        told = await send(other, to)
        assert told[to[0].address].outcome is Outcome.PERMANENT
        assert told[to[1].address].outcome is Outcome.TAKEN


@pytest.mark.parametrize(
    "garbage", ["\xff\xfe", "25", "hello", "250-" + "x" * 9000, "250-a\r\n" * 100 + "250 b", "99999 x"]
)
async def test_garbage_from_a_relay_ends_the_connection_and_nothing_else(rig, tmp_path, garbage):
    to = (await members(rig.channel))[:2]
    async with lying(rig, tmp_path, {"MAIL": [garbage]}) as (other, _):
        await other.channel.audience(OSAWA)
        try:
            told = await send(other, to)
        except Exception as failure:
            assert type(failure).__name__ == "TemporaryFailure"
            told = await send(other, to)
        assert {t.outcome for t in told.values()} <= {Outcome.TAKEN, Outcome.TEMPORARY, Outcome.PERMANENT}


async def test_a_relay_that_never_answers_is_given_up_and_the_pool_stays_fit(rig, tmp_path):
    to = (await members(rig.channel))[:2]
    async with lying(rig, tmp_path, {"MAIL": ["HANG"]}) as (other, _):
        await other.channel.audience(OSAWA)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await send(other, to)
        assert {t.outcome for t in (await send(other, to)).values()} == {Outcome.TAKEN}


async def test_the_next_commands_travel_with_the_text(rig, tmp_path):
    to = (await members(rig.channel))[:5]
    async with lying(rig, tmp_path, {}) as (other, relay):
        await other.channel.audience(OSAWA)
        await send(other, to)
        assert relay.heard[:1] == ["EHLO"]
        assert relay.heard[1:] == ["MAIL", "RCPT", "DATA", "."] * 5


# -- gentle domains -------------------------------------------------------------------------------------------------


def test_a_domain_gets_no_more_than_its_rate_and_others_do_not_wait():
    clock = ManualClock(SENT)
    domains = Domains({"docomo.ne.jp": 2.0}, 60.0, clock)
    assert [domains.wait_s("docomo.ne.jp") for _ in range(2)] == [0.0, 0.0]
    assert domains.wait_s("docomo.ne.jp") == pytest.approx(0.5)
    assert domains.wait_s("example.jp") == 0.0
    clock.advance(1.0)
    assert [domains.wait_s("docomo.ne.jp") > 0 for _ in range(3)] == [False, False, True]


def test_a_domain_that_said_later_is_left_alone_for_a_while():
    clock = ManualClock(SENT)
    domains = Domains({}, 60.0, clock)
    domains.said_later("gmail.com")
    assert domains.wait_s("gmail.com") == 60.0
    clock.advance(60.5)
    assert domains.wait_s("gmail.com") == 0.0
    assert not domains._domains


async def test_what_a_gentle_domain_does_not_bear_now_is_told_when(tmp_path, world):
    rig = MailRig(world, tmp_path / "state", domains=(DomainRate(domain="example.jp", rate=3.0),))
    async with rig.channel.open(Memory()):
        told = await send(rig, (await members(rig.channel))[:8])
        waiting = [t for t in told.values() if t.outcome is Outcome.TEMPORARY]
        assert len(waiting) == 5
        assert all(t.retry_after_s > 0 for t in waiting)


# -- the register ---------------------------------------------------------------------------------------------------


def csv(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "subscribers.csv"
    path.write_text("\n".join(("address,quarters,language", *lines)) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    "address",
    ["a..b@docomo.ne.jp", "a.@docomo.ne.jp", ".a@ezweb.ne.jp", "user+tag@example.co.jp", "a_b-c@x-y.example.jp"],
)
def test_legacy_addresses_are_taken_as_they_are(address):
    assert is_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@",
        "@b.jp",
        "a b@c.jp",
        "a@b",
        "a@b.jp\r\nRCPT TO:<x@y.jp>",
        "a\n@b.jp",
        "<a@b.jp>",
        "あ@b.jp",
        "a@b..jp",
        "a@-b.jp",
        "a\x00@b.jp",
        '"a b"@c.jp',
        "a@" + "b" * 300 + ".jp",
    ],
)
def test_what_could_reach_the_wire_as_something_else_is_no_address(address):
    assert not is_address(address)


@given(st.text(max_size=40))
def test_nothing_that_is_taken_as_an_address_breaks_a_line(text):
    if is_address(text):
        assert text.isascii()
        assert not set(text) & set("\r\n <>\x00")


def test_every_wrong_line_is_named(tmp_path):
    path = csv(tmp_path, "a@example.jp,132040301,ja", "b,132040301,ja", "c@example.jp,1,xx", "d@example.jp,132040301")
    with pytest.raises(BadSubscribers) as wrong:
        list(read(path))
    assert [problem.split(":")[1] for problem in wrong.value.problems] == ["3", "4", "4", "5"]


def test_an_index_follows_the_file_and_keeps_the_last_good_one(tmp_path):
    path = csv(tmp_path, "a@example.jp,132040301 132040302,ja", "b@example.jp,132040302,")
    index = Index(path, tmp_path)
    index.refresh()
    assert index.count(["132040301", "132040302"]) == 2
    assert index.members(["132040302"], "", 10) == ["a@example.jp", "b@example.jp"]
    assert index.members(["132040302"], "a@example.jp", 10) == ["b@example.jp"]
    path.write_text("rubbish")
    with pytest.raises(BadSubscribers):
        index.refresh()
    assert index.count(["132040301"]) == 1


def test_a_hundred_thousand_are_indexed_and_asked_for_page_by_page(tmp_path):
    path = tmp_path / "subscribers.csv"
    with path.open("w") as file:
        file.write("address,quarters,language\n")
        file.writelines(f"user{n:06d}@example.jp,13204030{n % 6 + 1},ja\n" for n in range(100_000))
    index = Index(path, tmp_path)
    index.refresh()
    assert index.count(OSAWA) == 100_000
    seen, last = 0, ""
    while page := index.members(OSAWA, last, 1000):
        assert page == sorted(page)
        assert page[0] > last
        seen, last = seen + len(page), page[-1]
    assert seen == 100_000


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
    ],
)
async def test_settings_that_cannot_work_are_named(rig, changed, where):
    assert where in [name for name, _ in replace(rig.channel.settings, **changed).problems()]
    assert not list(rig.channel.settings.problems())


def test_mail_in_the_clear_is_for_loopback_alone():
    assert [w for w, _ in RelaySettings(host="mail.example.jp", tls=Tls.NONE).problems()] == ["tls"]
    assert [w for w, _ in RelaySettings(host="mail.example.jp", username="x").problems()] == ["username"]
