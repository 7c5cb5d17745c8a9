"""What relays do to registered mail at each pace: refuse, close, lie, hang. Each answer is one person's, whatever happens."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email_list import EmailList, RelaySettings, Settings
from channels.email_list.relay import Tls
from channels.email_list.replies import Garbled, Replies
from channels.email_list.session import AHEAD
from config.secret import Secret
from dispatcher.errors import TemporaryFailure
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import attempt, members, surroundings
from tests.samples import OSAWA, evacuation_order
from tests.servers.lying_relay import DROP, HANG, TEXT, LyingRelay

STEPWISE, PIPELINED, CHUNKED = (), ("PIPELINING",), ("PIPELINING", "CHUNKING")
each_pace = pytest.mark.parametrize(
    "extensions", [STEPWISE, PIPELINED, CHUNKED], ids=["stepwise", "pipelined", "chunked"]
)
PEOPLE = [f"user{n:04d}@example.jp" for n in range(40)]
BUSY_CLOSING = "421 4.3.2 closing"


class Rig:
    def __init__(self, relay: LyingRelay, channel: EmailList[Drill]) -> None:
        self.relay = relay
        self.channel = channel
        self.rendering = None
        self.told: list[Told] = []

    async def send(self, count: int) -> list[tuple[Outcome, str]]:
        """Outcome and words of the first `count`, in their order."""
        rendering = self.channel.render(evacuation_order(Drill), await self.channel.audience(OSAWA))
        told = {t.address: t for t in await attempt(self.channel, rendering, (await members(self.channel))[:count])}
        assert list(told) == PEOPLE[:count] or set(told) == set(PEOPLE[:count])
        return [(told[a].outcome, told[a].words) for a in PEOPLE[:count]]


@asynccontextmanager
async def rig(
    tmp_path: Path, answers: Mapping[str, Sequence[str]] | None = None, extensions: Sequence[str] = PIPELINED
) -> AsyncIterator[Rig]:
    register = tmp_path / "subscribers.csv"
    register.write_text("\n".join(("address,quarters,language", *(f"{a},132040301,ja" for a in PEOPLE))) + "\n")
    async with LyingRelay(answers, extensions) as relay:
        settings = Settings(
            subscribers=register,
            sender="kunren@bousai.example.jp",
            sender_name="三鷹市（訓練）",
            list_id="kunren.bousai.example.jp",
            secret=Secret("0123456789abcdef"),
            unsubscribe_url="https://bousai.example.jp/unsubscribe",
            listen="127.0.0.1:0",
            relay=RelaySettings(host="127.0.0.1", port=relay.port, tls=Tls.NONE),
            timeout=1.0,
        )
        channel = EmailList(Drill, settings, surroundings(tmp_path / "state"))
        try:
            yield Rig(relay, channel)
        finally:
            channel._relay.close()


def text_word(extensions: Sequence[str]) -> str:
    return "BDAT" if extensions == CHUNKED else TEXT


# -- how far it runs ahead -------------------------------------------------------------------------------------------


async def test_with_pipelining_the_next_commands_travel_with_the_text(tmp_path):
    async with rig(tmp_path, extensions=PIPELINED) as r:
        # The text is answered only after the next mail's DATA was heard: whoever waits for that answer waits for ever.
        r.relay.may_answer = lambda heard: (
            heard["EHLO"] == len(r.relay.heard) or heard["DATA"] > heard[TEXT] or heard[TEXT] == 5
        )
        assert {outcome for outcome, _ in await r.send(5)} == {Outcome.TAKEN}
        assert r.relay.heard == ["EHLO", *["MAIL", "RCPT", "DATA", TEXT] * 5]


async def test_with_chunking_a_dozen_mails_are_under_way_and_no_more(tmp_path):
    async with rig(tmp_path, extensions=CHUNKED) as r:
        most = 0

        def may_answer(heard: Counter[str]) -> bool:
            nonlocal most
            most = max(most, heard["BDAT"])
            return heard["BDAT"] in {0, AHEAD}

        r.relay.may_answer = may_answer
        assert {outcome for outcome, _ in await r.send(AHEAD)} == {Outcome.TAKEN}
        r.relay.may_answer = lambda _: True
        assert {outcome for outcome, _ in await r.send(40)} == {Outcome.TAKEN}
        assert r.relay.heard[1:5] == ["RSET", "MAIL", "RCPT", "BDAT"]
        assert most == AHEAD


@each_pace
async def test_each_gets_one_mail_and_one_answer(tmp_path, extensions):
    async with rig(tmp_path, extensions=extensions) as r:
        assert {outcome for outcome, _ in await r.send(40)} == {Outcome.TAKEN}
        assert r.relay.recipients == PEOPLE


# -- refusals --------------------------------------------------------------------------------------------------------


@each_pace
async def test_one_who_is_refused_takes_nobody_along(tmp_path, extensions):
    async with rig(tmp_path, {"RCPT": ["250 ok", "550 5.1.1 no"]}, extensions) as r:
        r.relay.answers |= {"DATA": ["354 go on", "554 5.5.1 no valid recipients"]} if extensions == PIPELINED else {}
        r.relay.answers |= {"BDAT": ["250 ok", "554 5.5.1 no valid recipients"]} if extensions == CHUNKED else {}
        told = await r.send(4)
        assert [outcome for outcome, _ in told] == [Outcome.TAKEN, Outcome.PERMANENT, Outcome.TAKEN, Outcome.TAKEN]
        assert told[1][1] == "550 5.1.1 no"
        # The relay's transaction stays open after a refusal: it is reset before the next, or, running ahead, before each.
        assert r.relay.heard.count("RSET") == (4 if extensions == CHUNKED else 1)


async def test_a_relay_that_says_go_on_after_refusing_gets_no_text(tmp_path):
    async with rig(tmp_path, {"RCPT": ["550 5.1.1 no"]}) as r:
        assert [outcome for outcome, _ in await r.send(2)] == [Outcome.PERMANENT, Outcome.TAKEN]


@each_pace
@pytest.mark.parametrize("answer", ["550 5.7.1 sender refused", "530 5.7.0 Authentication required", "451 4.3.0 later"])
async def test_no_before_the_recipient_was_named_is_about_us_and_never_for_good(tmp_path, extensions, answer):
    async with rig(tmp_path, {"MAIL": [answer]}, extensions) as r:
        if extensions == CHUNKED:
            r.relay.answers |= {"RCPT": ["503 5.5.1 need MAIL"], "BDAT": ["503 5.5.1 need RCPT"]}
        if extensions == PIPELINED:
            r.relay.answers |= {"RCPT": ["503 5.5.1 need MAIL"], "DATA": ["503 5.5.1 need RCPT"]}
        told = await r.send(3)
        assert [outcome for outcome, _ in told] == [Outcome.TEMPORARY, Outcome.TAKEN, Outcome.TAKEN]
        assert answer in told[0][1]


@each_pace
async def test_a_relay_that_turns_everybody_away_is_a_failure_of_the_medium_in_its_words(tmp_path, extensions):
    away = ["550 5.7.1 who are you"] * 9
    async with rig(tmp_path, {"MAIL": away, "RCPT": away, "DATA": away, "BDAT": away}, extensions) as r:
        with pytest.raises(TemporaryFailure, match="who are you"):
            await r.send(3)


# -- the connection ends ---------------------------------------------------------------------------------------------


@each_pace
async def test_a_connection_lost_after_the_text_is_unknown_and_before_it_temporary(tmp_path, extensions):
    async with rig(tmp_path, {text_word(extensions): ["250 2.0.0 Ok: queued as A", DROP]}, extensions) as r:
        told = await r.send(4)
        outcomes = [outcome for outcome, _ in told]
        assert outcomes[:2] == [Outcome.TAKEN, Outcome.UNKNOWN]
        # What had run ahead shares the second's fate as far as its own text was on its way.
        others = {Outcome.UNKNOWN} if extensions == CHUNKED else {Outcome.TAKEN, Outcome.TEMPORARY}
        assert set(outcomes[2:]) <= others
        assert "queued as A" in told[0][1]
        assert not any("queued as A" in words for _, words in told[1:])


@each_pace
async def test_what_came_after_a_goodbye_was_not_taken_and_is_not_unknown(tmp_path, extensions):
    async with rig(tmp_path, {text_word(extensions): ["250 2.0.0 Ok: queued as A", BUSY_CLOSING]}, extensions) as r:
        told = await r.send(4)
        assert [outcome for outcome, _ in told][:2] == [Outcome.TAKEN, Outcome.TEMPORARY]
        assert BUSY_CLOSING in told[1][1]
        assert {outcome for outcome, _ in told[2:]} <= {Outcome.TEMPORARY, Outcome.TAKEN}


@each_pace
async def test_a_refusal_stands_even_if_the_connection_is_lost_then(tmp_path, extensions):
    answers = {"RCPT": ["250 ok", "550 5.1.1 no"]}
    answers |= {"BDAT": ["250 ok", DROP]} if extensions == CHUNKED else {}
    answers |= {"DATA": ["354 go on", DROP]} if extensions == PIPELINED else {}
    answers |= {"RSET": [DROP]} if extensions == STEPWISE else {}
    async with rig(tmp_path, answers, extensions) as r:
        told = await r.send(2)
        assert told == [(Outcome.TAKEN, told[0][1]), (Outcome.PERMANENT, "550 5.1.1 no")]


@each_pace
async def test_a_relay_that_closes_after_each_mail_still_gets_everybodys(tmp_path, extensions):
    word = text_word(extensions)
    async with rig(tmp_path, {"MAIL": ["250 ok", BUSY_CLOSING] * 3}, extensions) as r:
        left, rounds = 6, 0
        while left and rounds < 20:
            left = 6 - [outcome for outcome, _ in await r.send(6)].count(Outcome.TAKEN)
            rounds += 1
        assert left == 0
        assert r.relay.heard.count(word) >= 6


@each_pace
async def test_a_relay_that_never_answers_is_given_up_and_the_pool_stays_fit(tmp_path, extensions):
    async with rig(tmp_path, {"MAIL": [HANG]}, extensions) as r:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await r.send(2)
        assert {outcome for outcome, _ in await r.send(2)} == {Outcome.TAKEN}


async def test_a_relay_that_falls_silent_counts_as_gone(tmp_path):
    async with rig(tmp_path, {"MAIL": [HANG]}) as r:
        with pytest.raises(TemporaryFailure, match="no answer"):
            await r.send(2)


async def test_a_link_test_waits_for_no_mail(tmp_path):
    async with rig(tmp_path, {"MAIL": [HANG] * 4}) as r:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(r.channel.settings.connections):
                tasks.create_task(failing(r))
            async with asyncio.timeout(0.9):
                while r.relay.heard.count("MAIL") < r.channel.settings.connections:
                    await asyncio.wait([tasks.create_task(r.channel.audience(OSAWA))])
                assert (await r.channel.probe()).is_up
        assert r.relay.heard.count("NOOP") == 1


async def failing(r: Rig) -> None:
    with pytest.raises(TemporaryFailure):
        await r.send(1)


# -- hostile bytes ---------------------------------------------------------------------------------------------------

GARBAGE = ["\xff\xfe", "25", "hello", "250-" + "x" * 9000, "250-a\r\n" * 100 + "250 b", "99999 x"]


@each_pace
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_from_a_relay_ends_the_connection_and_nothing_else(tmp_path, extensions, garbage):
    async with rig(tmp_path, {"MAIL": [garbage]}, extensions) as r:
        with pytest.raises(TemporaryFailure, match="SMTP"):
            await r.send(2)
        assert {outcome for outcome, _ in await r.send(2)} == {Outcome.TAKEN}


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_whatever_comes_is_read_as_replies_or_refused_within_bounds(pieces):
    reading = Replies()
    try:
        for piece in pieces:
            for code, words in reading.feed(piece):
                assert 0 <= code <= 999
                assert len(words) <= 500
    except Garbled:
        pass


@given(
    st.lists(st.tuples(st.integers(200, 599), st.text("abc xyz.-", max_size=30)), min_size=1, max_size=8),
    st.integers(1, 40),
)
def test_replies_read_the_same_however_they_are_cut(said, size):
    wire = b"".join(f"{code}-more\r\n{code} {words}\r\n".encode() for code, words in said)
    reading = Replies()
    found = [reply for at in range(0, len(wire), size) for reply in reading.feed(wire[at : at + size])]
    assert found == [(code, f"more {words}") for code, words in said]


def test_a_line_and_a_reply_have_an_end():
    with pytest.raises(Garbled):
        list(Replies().feed(b"250 " + b"x" * 9000))
    with pytest.raises(Garbled):
        list(Replies().feed(b"250 " + b"x" * 9000 + b"\r\n"))
    with pytest.raises(Garbled):
        list(Replies().feed(b"250-x\r\n" * 65))
