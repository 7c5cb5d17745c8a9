"""Where a line of a frame may break, whatever the text: measured with the font that draws it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from channels.cable_tv.drawing import studio
from channels.cable_tv.kinsoku import NOT_AT_END, NOT_AT_START, half_width_phones, wrap

WIDE = studio(None).measure


def test_a_phone_number_goes_half_width_and_is_never_torn():
    text = half_width_phones(
        "お問い合わせは三鷹市役所防災課まで、電話 ０４２２－４５－１１５１（平日の昼間）へお願いします。"
    )
    assert "0422-45-1151" in text
    for width in range(600, 1800, 37):
        assert any("0422-45-1151" in line for line in wrap(text, width, WIDE))


def test_a_number_stays_with_what_it_counts_and_a_word_is_not_torn():
    for width in range(400, 1000, 23):
        lines = list(wrap("危ないときは建物の2階以上へ。Evacuate to the second floor.", width, WIDE))
        assert any("2階" in line for line in lines)
        assert any("Evacuate" in line for line in lines)


def test_a_line_breaks_where_a_reader_pauses():
    assert list(wrap("野川の水位が上がり、氾濫のおそれがあります。", 1728, WIDE)) == [
        "野川の水位が上がり、",
        "氾濫のおそれがあります。",
    ]
    assert list(wrap("外が危ないときは 2階以上へ", 1728, WIDE)) == ["外が危ないときは 2階以上へ"]


@settings(max_examples=150, deadline=None)
@given(
    st.text(alphabet="川水避難所、。」「（）っーあいぁ々ab12 ・…\n～", max_size=120),
    st.integers(min_value=170, max_value=1728),
)
def test_lines_lose_nothing_fit_and_keep_the_prohibitions(text: str, width: int):
    lines = list(wrap(text, width, WIDE))
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(WIDE(line) <= width for line in lines)
    kept = [line for line in lines if any(c not in NOT_AT_START | NOT_AT_END for c in line)]
    if len(kept) == len(lines) and width > 1000 and not any(c in text for c in "…、。」「（）っーぁ々・～"):
        assert all(line[0] not in NOT_AT_START and line[-1] not in NOT_AT_END for line in lines)


@given(
    st.lists(
        st.sampled_from(["避難所", "「大沢」", "小学校、", "（市）", "ケーブル", "あっち", "10人"]),
        min_size=8,
        max_size=40,
    )
)
def test_no_line_of_real_words_begins_or_ends_with_what_may_not(words: list[str]):
    for line in wrap("".join(words), 1200, WIDE):
        assert line[0] not in NOT_AT_START
        assert line[-1] not in NOT_AT_END
