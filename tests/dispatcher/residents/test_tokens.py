"""Links that stand for a person: unguessable, the same again for a reminder, and useless as the ledger keeps them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.tracking.tokens import Door, Tokens, hashed, link, written

KEY = bytes(range(32))
WORDS = st.lists(st.text(max_size=8), min_size=1, max_size=4)


@given(WORDS)
def test_a_token_is_26_letters_that_survive_any_medium(parts):
    token = Tokens(KEY).derive(*parts)
    assert len(token) == 26
    assert set(token) <= set(string.ascii_lowercase + "234567")
    assert written(f" {token.upper()}\n") == token


@given(WORDS, WORDS)
def test_two_people_never_share_a_token_and_one_has_the_same_again(one, other):
    tokens = Tokens(KEY)
    assert (tokens.derive(*one) == tokens.derive(*other)) == (one == other)
    assert tokens.derive(*one) == tokens.derive(*one)


def test_another_key_makes_another_token():
    assert Tokens(KEY).derive("c", "p") != Tokens(bytes(32)).derive("c", "p")


@given(st.text(max_size=80))
def test_what_cannot_be_a_token_has_a_hash_that_nobody_has(typed):
    if not written(typed):
        assert hashed(typed) == hashed("")
    assert len(hashed(typed)) == 64


def test_the_ledgers_hash_says_nothing_of_the_token():
    token = Tokens(KEY).derive("campaign", "person")
    assert token not in hashed(token)
    assert hashed(token) == hashed(token.upper())


def test_a_link_is_the_site_the_door_and_the_token():
    assert link("https://example.jp/", Door.ANSWER, "t" * 26) == f"https://example.jp/a/{'t' * 26}"


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens(b"short")
