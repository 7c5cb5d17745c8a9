"""What people type: dates and numbers as they write them, and words that do no harm."""

import unicodedata
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.model.typed import birth_date, inert, line, phone

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    "said",
    [
        "1950-4-1",
        "1950/04/01",
        "19500401",
        "1950年4月1日",
        "１９５０年４月１日",
        "昭和25年4月1日",
        "S25.4.1",
        "s25-4-1",
        "昭和２５年４月１日",
    ],
)
def test_a_birth_date_is_read_as_people_write_it(said):
    assert birth_date(said, TODAY) == "1950-04-01"


def test_the_first_year_of_an_era_has_a_word_of_its_own():
    assert birth_date("令和元年5月2日", TODAY) == "2019-05-02"


@pytest.mark.parametrize("said", ["4月1日", "1950-2-30", "2030-1-1", "1800-1-1", "昭和99年99月99日", "ok", "1" * 30])
def test_what_is_no_birth_date_is_said_so(said):
    assert birth_date(said, TODAY) is None


@pytest.mark.parametrize(
    "said", ["0422-00-0000", "0422000000", "０４２２ー００ー００００", "(0422) 00-0000", "+81 422 00 0000"]
)
def test_a_number_is_read_as_people_write_it(said):
    assert phone(said) == "0422000000"


@pytest.mark.parametrize("said", ["119", "電話なし", "0422-00-0000 内線5", "1" * 40])
def test_what_is_no_number_is_said_so(said):
    assert phone(said) is None


def test_nothing_typed_is_nothing_wrong():
    assert (birth_date(" ", TODAY), phone("")) == ("", "")


@given(st.text())
def test_inert_words_have_no_letter_that_nobody_can_see(text):
    kept = inert(text)
    assert not [c for c in kept if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co"} and c not in "\n\u200c\u200d"]
    assert inert(kept) == kept
    assert "\n" not in line(text)


@given(st.text(max_size=60))
def test_no_text_breaks_a_reader(text):
    assert birth_date(text, TODAY) is None or birth_date(text, TODAY) == "" or len(birth_date(text, TODAY)) == 10
    assert phone(text) is None or phone(text) == "" or phone(text).isdecimal()
