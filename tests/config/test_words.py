"""Which words somebody gets: their language's, else those of the one that it is a kind of, else a language that we have."""

import pytest

from config.document import ConfigError
from config.words import LANGUAGES, in_language, language_name, language_of, read_words

GREETINGS = {"ja": "こんにちは", "ja-x-easy": "こんにちは。", "en": "hello"}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("ja", "こんにちは"),
        ("ja-x-easy", "こんにちは。"),
        ("en-US", "hello"),
        ("ja-Hira", "こんにちは"),
        ("vi", "hello"),
    ],
)
def test_a_language_without_words_of_its_own_gets_those_of_the_nearest(language, said):
    assert in_language(GREETINGS, language) == said


def test_a_language_is_called_as_its_own_readers_call_it():
    assert [language_name(tag) for tag in ("en-US", "ja-x-easy", "vi", "xx")] == [
        "English",
        "やさしい日本語",
        "Tiếng Việt",
        "xx",
    ]


def test_the_first_language_that_pages_are_offered_in_is_taken_and_japanese_otherwise():
    assert language_of("", "fr", "ko-KR", "en") == "ko"
    assert language_of("fr") == "ja"


def test_a_key_without_a_text_in_each_language_is_named(tmp_path):
    file = tmp_path / "words.yaml"
    whole = "{" + ", ".join(f"{tag}: x" for tag in LANGUAGES) + "}"
    file.write_text(f"there: {whole}\nhalf: {{ja: x, en: x}}\n", "utf-8")
    with pytest.raises(ConfigError) as error:
        read_words(file)
    assert [problem.path for problem in error.value.problems] == ["half"]
