"""Notices and receipts: what was signed is read, and one changed bit is not."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.ip_terminal.notice import Forged, Notice, Signer, Verifier, Words
from channels.ip_terminal.receipt import ANSWERS, State, TerminalReceipt, read_receipt
from channels.ip_terminal.topics import Up, down_topics, topic_of
from tests.samples import SENT

SIGNER = Signer(bytes(32))
VERIFIER = Verifier(SIGNER.public)
KEY = bytes(range(32))

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
words = st.builds(Words, texts, texts, texts, texts, texts, texts, texts, texts, texts)
moments = st.timedeltas(timedelta(0), timedelta(days=900)).map(lambda d: SENT + d)
notices = st.builds(
    Notice, texts, texts, st.integers(0, 2**53), texts, st.sampled_from(["Actual", "Exercise"]), st.integers(1, 9),
    st.none() | st.integers(1, 5), moments, moments, st.lists(words, min_size=1, max_size=3).map(tuple),
)  # fmt: skip
NOTICE = Notice(
    "a-1", "a-1", 1, "issue", "Exercise", 2, 4, SENT, SENT, (Words("ja", "避難指示", "【訓練】大沢", "大沢", "t"),)
)
RECEIPT = TerminalReceipt("a-1", "T0001", State.ACKNOWLEDGED, SENT, 3)


@given(notices)
def test_a_signed_notice_is_read_again(notice):
    payload = SIGNER.sign(notice)
    assert VERIFIER.read(payload) == notice
    assert SIGNER.sign(notice) == payload


@given(st.data())
def test_a_notice_with_a_changed_byte_is_forged(data):
    payload = bytearray(SIGNER.sign(NOTICE))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Forged):
        VERIFIER.read(bytes(payload))


@given(st.binary(max_size=400))
def test_any_bytes_as_a_notice_are_forged(data):
    with pytest.raises(Forged):
        VERIFIER.read(data)


def test_another_citys_notice_is_forged():
    with pytest.raises(Forged, match=SIGNER.key_id):
        VERIFIER.read(Signer(b"\1" * 32).sign(NOTICE))


def test_a_longer_and_a_shorter_notice_are_forged():
    payload = SIGNER.sign(NOTICE)
    for wrong in (payload + b" ", payload[:-1], b" " + payload, payload * 2, b"x" * 100_000):
        with pytest.raises(Forged):
            VERIFIER.read(wrong)


def test_a_notice_is_one_json_object_that_people_can_read():
    values = json.loads(SIGNER.sign(NOTICE))
    assert values["info"][0]["headline"] == "【訓練】大沢"
    assert list(values)[-2:] == ["kid", "sig"]
    assert "【訓練】大沢" in SIGNER.sign(NOTICE).decode()


@given(
    st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=60),
    st.sampled_from(State),
    st.integers(0, 2**60),
)
def test_a_sealed_receipt_is_read_again(mid, state, counter):
    receipt = TerminalReceipt(mid, "T0001", state, SENT, counter)
    is_answer = receipt.state in ANSWERS
    assert read_receipt(receipt.seal(KEY), "T0001", KEY, is_answer=is_answer) == receipt
    with pytest.raises(Forged):
        read_receipt(receipt.seal(KEY), "T0001", KEY, is_answer=not is_answer)


@given(st.data())
def test_a_receipt_with_a_changed_byte_is_forged(data):
    payload = bytearray(RECEIPT.seal(KEY))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Forged):
        read_receipt(bytes(payload), "T0001", KEY)


@given(st.binary(max_size=300))
def test_any_bytes_as_a_receipt_are_forged(data):
    with pytest.raises(Forged):
        read_receipt(data, "T0001", KEY)


def test_a_receipt_of_another_terminal_or_key_is_forged():
    with pytest.raises(Forged):
        read_receipt(RECEIPT.seal(KEY), "T0002", KEY)
    with pytest.raises(Forged):
        read_receipt(RECEIPT.seal(KEY), "T0001", b"\1" * 32)


@pytest.mark.parametrize("mid", ["", "x" * 201, "a\0b", "a\nb"])
def test_a_sealed_receipt_of_no_possible_message_is_forged(mid):
    with pytest.raises(Forged):
        read_receipt(RECEIPT._replace(mid=mid).seal(KEY), "T0001", KEY)


@pytest.mark.parametrize(
    "values",
    [
        b"[", b"{", b'{"mid":1', b'{"mid":"a","tid":"T0001","st":"read","ts":"2026-09-14T02:41:00+09:00","ctr":1',
        b'{"mid":"a","tid":"T0001","st":"delivered","ts":"2026-09-14T02:41:00","ctr":1',
        b'{"mid":"a","tid":"T0001","st":"delivered","ts":"2026-09-14T02:41:00+09:00","ctr":Infinity',
        b'{"mid":"\\ud800","tid":"T0001","st":"delivered","ts":"2026-09-14T02:41:00+09:00","ctr":1',
        b'{"a":' + b"[" * 900,
    ],
)  # fmt: skip
def test_even_a_terminals_own_seal_does_not_make_a_receipt_of_anything(values):
    from channels.ip_terminal.receipt import _mac, _tail

    with pytest.raises(Forged):
        read_receipt(values + _tail(_mac(KEY, values)), "T0001", KEY)


def test_topics_name_the_terminal_its_quarter_and_its_groups():
    assert down_topics("T0001", "132040301", ("school",)) == {
        "mt/1/dn/all", "mt/1/dn/area/132040301", "mt/1/dn/t/T0001", "mt/1/dn/grp/school",
    }  # fmt: skip
    assert topic_of("T0001") in down_topics("T0001", "132040301")
    assert Up.RECEIPT.topic("T0001") == "mt/1/up/T0001/rcpt"
