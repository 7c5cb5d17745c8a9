"""Readings: over every kanji of the product's own texts, over none that nobody has reviewed."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import channels.website.words
from config.cities import load
from config.furigana import KANJI, Furigana, common
from config.templates import causes, load_templates

FURIGANA = Furigana(load("mitaka"))


def said(text):
    return [(piece.words, piece.reading) for piece in FURIGANA.over(text)]


def unread(text):
    return [p.words for p in FURIGANA.over(text) if not p.reading and re.search(KANJI, p.words) and p.words[0] != "【"]


@pytest.mark.parametrize("name", sorted(load_templates()))
def test_every_kanji_of_a_template_has_its_reading(name):
    words = load_templates()[name].infos["ja-x-easy"]
    for text in (words.event, words.headline, words.description, words.instruction, words.short):
        assert unread(text) == []


def test_every_kanji_of_the_causes_and_of_the_sites_own_words_has_its_reading():
    listed = yaml.safe_load(Path(channels.website.words.__file__).with_name("words.yaml").read_text(encoding="utf-8"))
    for texts in (*causes().values(), *listed.values()):
        assert unread(texts["ja-x-easy"]) == []


def test_places_are_read_as_the_gazetteer_says_with_and_without_brackets():
    assert said("大沢一丁目（おおさわ いっちょうめ）へ") == [("大沢一丁目", "おおさわ いっちょうめ"), ("へ", "")]
    assert said("大沢の") == [("大沢", "おおさわ"), ("の", "")]
    assert said("井の頭（いのかしら）") == [("井の頭", "いのかしら")]


def test_a_reading_stands_over_its_kanji_alone():
    assert said("逃げて ください") == [("逃", "に"), ("げ", ""), ("て ください", "")]


@pytest.mark.parametrize("text", ["住人", "大沢台小学校", "人影", "水車", "市民"])
def test_a_part_of_a_longer_word_is_never_read(text):
    assert said(text) == [(text, "")]


def test_a_mark_keeps_its_letters_together():
    assert said("【訓練】訓練") == [("【訓練】", ""), ("訓練", "くんれん")]


@given(st.text(alphabet="大沢の人は今逃げて（おさわ）【訓練】一丁目 a", max_size=60))
def test_nothing_is_lost_but_brackets_of_readings(text):
    pieces = list(FURIGANA.over(text))
    shown = "".join(p.words for p in pieces)
    assert shown == text or any(p.reading for p in pieces)
    whole = "".join(
        p.words + (f"（{p.reading}）" if p.reading and f"{p.words}（{p.reading}）" in text else "") for p in pieces
    )
    assert whole == text


def test_the_list_names_each_word_once():
    assert len(common()) > 100
