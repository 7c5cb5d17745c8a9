"""What comes back by mail: empty mails that ask for a link, bounces, and all that must not be answered or believed."""

import asyncio
import email
import email.policy
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import aiosmtplib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email_list import EmailList
from channels.email_list import incoming as door
from channels.email_list.autoreply import may_answer
from channels.email_list.bounce import read
from channels.email_list.suspension import DAYS, TIMES, Fate, Given, fate_of
from config.cities import load
from dispatcher.channel import Recipient
from dispatcher.clock import SystemClock
from dispatcher.errors import StorageFull
from dispatcher.model.delivery import Receipt
from dispatcher.model.mode import Drill
from drills.world.email_list import ENROL, World
from tests.channels.test_email_list import settings_for
from tests.contracts.channel_contract import Memory, attempt, members, surroundings
from tests.samples import OSAWA, evacuation_order

ORDER = evacuation_order(Drill)
PERSON = "new.person@example.jp"
ASKING = f"From: <{PERSON}>\r\nTo: <{ENROL}>\r\nMessage-ID: <ask-1@example.jp>\r\nSubject: \r\n\r\n\r\n"
DOCOMO = ("docomo.ne.jp",)


async def until(holds) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await SystemClock().sleep(0.01)


class Moved(SystemClock):
    """The clock, so many days later."""

    days = 0

    def now(self):
        return super().now() + timedelta(days=self.days)


class Full(Memory):
    """An inbox whose disk takes nothing, for a while."""

    is_full = True

    async def record(self, received):
        if self.is_full:
            raise StorageFull("full")
        await super().record(received)


class Rig:
    def __init__(self, channel, world, inbox, clock, port):
        self.channel, self.world, self.inbox, self.clock, self.port = channel, world, inbox, clock, port

    async def hand_over(self, data: str | bytes, to: str = ENROL, sender: str = PERSON) -> int:
        """As the city's server would; the answer's code."""
        smtp = aiosmtplib.SMTP(hostname="127.0.0.1", port=self.port, start_tls=False, timeout=20)
        async with smtp:
            try:
                await smtp.sendmail(sender, [to], data)
            except aiosmtplib.SMTPRecipientsRefused as refused:
                return refused.recipients[0].code
            except aiosmtplib.SMTPResponseException as error:
                return error.code
        return 250

    def mails_to(self, address: str):
        found = [m.data for m in self.world.mails if m.recipients == (address,)]
        return [email.message_from_bytes(data, policy=email.policy.default) for data in found]

    async def sent(self, count: int = 1) -> list[tuple[str, str, bytes]]:
        """Alerts that went out: address, envelope sender, the mail."""
        rendering = self.channel.render(ORDER, await self.channel.audience(OSAWA))
        before = len(self.world.mails)
        await attempt(self.channel, rendering, (await members(self.channel))[:count])
        return [(m.recipients[0], m.sender, m.data) for m in self.world.mails[before:]]


@asynccontextmanager
async def a_rig(tmp_path, inbox=None):
    async with World(tmp_path / "world", load("mitaka"), 1) as world:
        inbox, clock, port = inbox or Memory(), Moved(), world.incoming_port
        channel = EmailList(Drill, settings_for(world), replace(surroundings(tmp_path / "state"), clock=clock))
        async with channel.open(inbox):
            yield Rig(channel, world, inbox, clock, port)


@pytest.fixture
async def rig(tmp_path):
    async with a_rig(tmp_path) as rig:
        yield rig


def dsn(
    about: bytes = b"",
    *,
    status: str = "5.1.1",
    action: str = "failed",
    recipient: str = "gone@example.jp",
    words: str = "550 5.1.1 <gone@example.jp>: Recipient address rejected: User unknown",
) -> bytes:
    """As Postfix writes one."""
    head = b"\r\n".join(about.split(b"\r\n\r\n")[0].split(b"\r\n"))
    return (
        (
            "From: MAILER-DAEMON@mx.example.jp\r\nTo: us\r\nSubject: Undelivered Mail\r\nAuto-Submitted: auto-replied\r\n"
            'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b1"\r\n\r\n'
            "--b1\r\nContent-Type: text/plain\r\n\r\nI'm sorry.\r\n\r\n--b1\r\nContent-Type: message/delivery-status\r\n\r\n"
            "Reporting-MTA: dns; mx.example.jp\r\nX-Postfix-Queue-ID: 4bX\r\n\r\n"
            f"Final-Recipient: rfc822; {recipient}\r\nOriginal-Recipient: rfc822;{recipient}\r\nAction: {action}\r\n"
            f"Status: {status}\r\nRemote-MTA: dns; mx.example.jp\r\nDiagnostic-Code: smtp; {words[:40]}\r\n    {words[40:]}\r\n\r\n"
            "--b1\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        ).encode()
        + head
        + b"\r\n\r\n--b1--\r\n"
    )


# -- an empty mail --------------------------------------------------------------------------------------------------


async def test_an_empty_mail_is_answered_with_a_link_that_opens_the_entry(rig):
    assert await rig.hand_over(ASKING) == 250
    await until(lambda: rig.mails_to(PERSON))
    (mail,) = rig.mails_to(PERSON)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["In-Reply-To"] == "<ask-1@example.jp>"
    assert mail["Subject"].startswith("【訓練】三鷹市")
    token = re.search(r"/m/(\S+)", mail.get_content())[1]
    opened = await rig.channel.register.opened(token)
    assert opened.address == PERSON
    assert not opened.is_registered
    rig.clock.days = 1
    assert await rig.channel.register.opened(token) is None


async def test_our_own_answer_is_answered_by_nobody_so_a_loop_ends_at_once(rig):
    await rig.hand_over(ASKING)
    await until(lambda: rig.mails_to(PERSON))
    (answer,) = [m for m in rig.world.mails if m.recipients == (PERSON,)]
    # The other side answers every mail, ours too: to the envelope's sender, and as rudely to the address that was written to.
    for to in (answer.sender, ENROL):
        assert await rig.hand_over(answer.data, to=to) == 250
    for sender in (rig.channel.settings.sender, answer.sender, ENROL):
        assert await rig.hand_over(ASKING, sender=sender) == 250
    await rig.hand_over(ASKING.replace(PERSON, "last@example.jp"), sender="last@example.jp")
    await until(lambda: rig.mails_to("last@example.jp"))
    assert len(rig.world.mails) == 2


async def test_an_auto_replier_that_hides_what_it_is_gets_three_answers_and_no_more(rig):
    for number in range(8):
        assert await rig.hand_over(ASKING.replace("ask-1", f"ask-{number}")) == 250
    await rig.hand_over(ASKING.replace(PERSON, "last@example.jp"), sender="last@example.jp")
    await until(lambda: rig.mails_to("last@example.jp"))
    assert len(rig.mails_to(PERSON)) == 3


@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated (vacation)",
        "Auto-submitted: AUTO-NOTIFIED; x=y",
        "Precedence: bulk",
        "Precedence: list",
        "PRECEDENCE: Junk",
        "List-Id: <x.example.jp>",
        "List-Unsubscribe: <https://x>",
        "X-Autoreply: yes",
        "X-Auto-Response-Suppress: OOF, AutoReply",
    ],
)
def test_what_a_machine_wrote_is_not_answered(header):
    assert not may_answer(PERSON, f"{header}\r\n{ASKING}".encode(), {ENROL})


@pytest.mark.parametrize(
    "sender",
    [
        "",
        "<>",
        "MAILER-DAEMON@example.jp",
        "postmaster@example.jp",
        "noreply@example.jp",
        "no-reply@example.jp",
        "owner-list@example.jp",
        "list-request@example.jp",
        "list-bounces@example.jp",
        "x+b-0011@example.jp",
        "SRS0=HH=TT=example.jp=a@example.net",
        ENROL,
        "touroku+x@bousai.example.jp",
        "あ@example.jp",
        "a b@example.jp",
    ],
)
def test_nobody_who_could_be_a_machine_or_ourselves_is_answered(sender):
    assert not may_answer(sender, ASKING.encode(), {ENROL})


@pytest.mark.parametrize("sender", [PERSON, "a..b@docomo.ne.jp", "user.@ezweb.ne.jp"])
@pytest.mark.parametrize("header", ["Auto-Submitted: no", "Precedence: first-class", "X-Mailer: phone"])
def test_a_person_is_answered(sender, header):
    assert may_answer(sender, f"{header}\r\n{ASKING}".encode(), {ENROL})


@given(st.binary(max_size=400))
def test_no_bytes_of_a_stranger_break_a_look_at_them(data):
    may_answer(PERSON, data, {ENROL})
    read(data, "bousai.example.jp", is_from_nobody=True)
    read(b"Content-Type: message/delivery-status\r\n\r\n" + data, "bousai.example.jp", is_from_nobody=True)


# -- the door -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to",
    [
        "somebody@example.jp",
        "kunren@bousai.example.jp",
        "kunren+b-xyz@bousai.example.jp",
        "kunren+b-" + "0" * 24 + "@evil.jp",
    ],
)
async def test_it_takes_mail_for_its_own_two_kinds_of_address_and_relays_nothing(rig, to):
    assert await rig.hand_over(ASKING, to=to) == 550
    assert not rig.world.mails


async def test_nothing_that_comes_stands_in_a_log_not_even_when_we_fail(rig, caplog, capsys):
    rig.channel._people.gave_back = None  # whatever goes wrong within
    ((_, sender, mail), *_) = await rig.sent()
    assert await rig.hand_over(dsn(mail), to=sender, sender="") == 452
    assert await rig.hand_over(ASKING) == 250
    said = caplog.text + "".join(capsys.readouterr())
    assert "mail.incoming_failed" in said
    assert "@" not in said


async def test_ten_megabytes_are_refused_and_the_door_stands_open(rig):
    assert await rig.hand_over(ASKING.encode() + b"x" * 70 + (b"\r\n" + b"A" * 76) * 130_000) == 552
    assert await rig.hand_over(ASKING) == 250


async def test_nested_mime_of_any_depth_is_inert(rig):
    nest = "".join(f'Content-Type: multipart/mixed; boundary="{n}"\r\n\r\n--{n}\r\n' for n in range(3000))
    assert await rig.hand_over(ASKING.rstrip() + "\r\n" + nest) == 250
    (address, sender, _) = (await rig.sent())[0]
    assert await rig.hand_over(nest, to=sender, sender="") == 250
    assert address in {d.address for d in await members(rig.channel)}


async def test_who_is_slow_or_many_keeps_nobody_else_out(rig, monkeypatch):
    monkeypatch.setattr(door, "SESSIONS", 5)
    slow = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(5)]
    for reader, writer in slow:
        assert (await reader.readline()).startswith(b"220 ")
        writer.write(b"HE")
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    assert (await reader.readline()).startswith(b"421 ")
    writer.close()
    for _, writer in slow:
        writer.close()
    await until(lambda: True)
    codes: list[int] = []

    async def is_open() -> bool:
        try:
            codes.append(await rig.hand_over(ASKING))
        except aiosmtplib.SMTPException:
            return False
        return True

    async with asyncio.timeout(10):
        while not await is_open():
            await SystemClock().sleep(0.02)
    assert codes == [250]


# -- bounces --------------------------------------------------------------------------------------------------------


async def test_a_mailbox_that_is_not_there_is_suspended_and_the_alert_hears_of_it(rig):
    ((address, sender, mail), *_) = await rig.sent(3)
    assert await rig.hand_over(dsn(mail, recipient=address), to=sender, sender="") == 250
    (received,) = rig.inbox.received
    assert (received.identifier, received.address, received.receipt) == (ORDER.identifier, address, Receipt.BOUNCED)
    assert "User unknown" in received.words
    assert "@" not in received.words
    assert address not in {d.address for d in await members(rig.channel)}
    assert rig.channel._people.suspended() == [("nobody", 1)]


async def test_the_way_back_is_the_persons_own_link_or_staff(rig):
    ((address, sender, mail), (other, its_sender, its_mail), *_) = await rig.sent(2)
    await rig.hand_over(dsn(mail), to=sender, sender="")
    await rig.hand_over(dsn(its_mail), to=its_sender, sender="")
    assert not {address, other} & {d.address for d in await members(rig.channel)}
    await rig.channel.register.invite(address, None, "ja", "198.51.100.1")
    await until(lambda: len(rig.mails_to(address)) == 2)
    token = re.search(r"/m/(\S+)", rig.mails_to(address)[1].get_content())[1]
    opened = await rig.channel.register.opened(token)
    assert opened.is_registered
    await rig.channel.register.enrol(token, opened.choice)
    assert rig.channel._people.restore(other)
    assert {address, other} <= {d.address for d in await members(rig.channel)}


async def test_the_same_bounce_twice_is_one_receipt_and_a_foreign_token_none(rig):
    ((address, sender, mail), *_) = await rig.sent()
    forged = re.sub(r"\+b-.", "+b-" + ("0" if "+b-0" not in sender else "1"), sender)
    assert await rig.hand_over(dsn(mail, recipient=address), to=forged, sender="") == 250
    assert not rig.inbox.received
    assert address in {d.address for d in await members(rig.channel)}


async def test_a_message_id_that_we_never_gave_makes_no_receipt(rig):
    ((address, sender, mail), *_) = await rig.sent()
    forged = re.sub(rb"Message-ID: <\w{32}", b"Message-ID: <" + b"0" * 32, mail)
    assert await rig.hand_over(dsn(forged), to=sender, sender="") == 250
    assert not rig.inbox.received
    assert address not in {d.address for d in await members(rig.channel)}


async def test_a_bounce_of_a_mail_to_one_person_is_a_receipt_under_their_key_and_no_address_is_kept(rig, tmp_path):
    rendering = rig.channel.render(ORDER, await rig.channel.audience(OSAWA))
    one = Recipient("facility:F001:0", "nursery@example.jp", "ja", "https://x/k/a")
    await rig.channel.send_each(rendering, [one], lambda _told: None)
    received = rig.world.mails[-1]
    bounced = dsn(received.data, recipient="nursery@example.jp", words="550 5.1.1 <nursery@example.jp> User unknown")
    assert await rig.hand_over(bounced, to=received.sender, sender="") == 250
    (receipt,) = rig.inbox.received
    assert (receipt.identifier, receipt.address) == (ORDER.identifier, "facility:F001:0")
    assert not [f for f in (tmp_path / "state").iterdir() if b"nursery@" in f.read_bytes()]


@pytest.mark.parametrize(
    "data",
    [
        dsn(action="delayed", status="4.4.1"),
        dsn(action="delivered", status="2.0.0"),
        dsn(action="relayed", status="2.0.0"),
        b"Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away. Call 550-1234.\r\n",
        b"",
    ],
)
async def test_a_delay_a_success_or_an_answer_is_no_bounce(rig, data):
    ((_, sender, _), *_) = await rig.sent()
    assert await rig.hand_over(data, to=sender, sender=PERSON if b"office" in data else "") == 250
    assert not rig.inbox.received
    assert rig.channel._people.suspended() == []


async def test_a_bounce_is_taken_only_when_it_is_durable(tmp_path):
    async with a_rig(tmp_path, Full()) as rig:
        ((address, sender, mail), *_) = await rig.sent()
        assert await rig.hand_over(dsn(mail), to=sender, sender="") == 452
        assert address in {d.address for d in await members(rig.channel)}
        rig.inbox.is_full = False
        assert await rig.hand_over(dsn(mail), to=sender, sender="") == 250
        assert len(rig.inbox.received) == 1


async def test_a_storm_of_bounces_is_absorbed_in_few_writes(rig):
    sent = await rig.sent(20)
    writes = []
    gave_back = rig.channel._people.gave_back
    rig.channel._people.gave_back = lambda failed: writes.append(len(failed)) or gave_back(failed)
    waiting = iter(sent * 10)

    async def server() -> None:
        for _, sender, mail in waiting:
            assert await rig.hand_over(dsn(mail), to=sender, sender="") == 250

    async with asyncio.TaskGroup() as tasks:
        for _ in range(40):
            tasks.create_task(server())
    assert sum(writes) == 10 * len(sent)
    assert len(writes) < sum(writes)
    assert {r.address for r in rig.inbox.received} == {address for address, _, _ in sent}
    assert rig.channel._people.suspended() == [("nobody", len(sent))]


def test_an_old_mailers_words_are_read():
    said = (
        b"Hi. This is the qmail-send program at mx.example.jp.\r\nI'm afraid I wasn't able to deliver your message.\r\n\r\n"
        b"<gone@example.jp>:\r\n192.0.2.1 does not like recipient.\r\nRemote host said: 550 5.1.1 User unknown\r\n"
    )
    bounce = read(said, "bousai.example.jp", is_from_nobody=True)
    assert bounce.status == "5.1.1"
    assert read(said, "bousai.example.jp", is_from_nobody=False) is None


# -- what a bounce means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words", "domain", "fate"),
    [
        ("5.1.1", "550 User unknown", "example.jp", Fate.NOBODY),
        ("5.0.0", "550 no such user here", "example.jp", Fate.NOBODY),
        ("", "550 unknown user", "example.jp", Fate.NOBODY),
        ("5.1.1", "550 Unknown user a@docomo.ne.jp", "docomo.ne.jp", Fate.FILTERED),
        ("5.7.1", "550 rejected by policy", "example.jp", Fate.FILTERED),
        ("5.2.2", "552 mailbox full", "example.jp", Fate.LATER),
        ("4.4.7", "expired", "example.jp", Fate.LATER),
        ("", "", "example.jp", Fate.LATER),
        ("5.0.0", "554 transaction failed", "example.jp", Fate.LATER),
    ],
)
def test_each_failure_means_what_it_says_and_a_carrier_is_not_believed_at_once(status, words, domain, fate):
    assert fate_of(status, words, domain, DOCOMO) is fate


def test_what_may_pass_suspends_after_repeats_on_different_days_and_ends_by_itself():
    now = SystemClock().now()
    given_back = Given.never()
    for _ in range(50):
        given_back = given_back.after(Fate.FILTERED, now)
    assert given_back.until == ""  # a storm of one day is a day
    for day in range(1, DAYS):
        given_back = given_back.after(Fate.FILTERED, now + timedelta(days=day))
    assert (now + timedelta(days=29)).isoformat() < given_back.until < (now + timedelta(days=40)).isoformat()
    assert given_back.times == 0
    fresh = given_back.after(Fate.FILTERED, now + timedelta(days=100))
    assert (fresh.times, fresh.until) == (1, "")
    assert TIMES > DAYS


async def test_a_suspended_filter_is_tried_again_after_its_time(rig):
    ((address, sender, mail), *_) = await rig.sent()
    refused = dsn(mail, status="5.7.1", words="550 5.7.1 Blocked by the reader")
    for day in range(3):
        rig.clock.days = day
        for _ in range(2):
            assert await rig.hand_over(refused, to=sender, sender="") == 250
    assert address not in {d.address for d in await members(rig.channel)}
    rig.clock.days = 40
    assert address in {d.address for d in await members(rig.channel)}
