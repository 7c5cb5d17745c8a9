"""What became of a message is said before its headline, once, in every language."""

from dataclasses import replace

import pytest

from dispatcher.model import marking
from dispatcher.model.draft import Verb
from dispatcher.model.mode import Drill
from tests.samples import evacuation_order

INFO = evacuation_order(Drill).info[0]


@pytest.mark.parametrize(
    ("language", "verb", "said"),
    [
        ("ja", Verb.ISSUE, "避難"),
        ("ja", Verb.UPDATE, "【更新】避難"),
        ("ja-x-easy", Verb.CORRECT, "【訂正】避難"),
        ("en-US", Verb.RETRACT, "[CANCELLED] 避難"),
        ("zh", Verb.CORRECT, "【更正】避難"),
        ("ko", Verb.LIFT, "[해제] 避難"),
        ("vi", Verb.UPDATE, "[UPDATE] 避難"),
    ],
)
@pytest.mark.parametrize("banner", ["", "【訓練】"])
def test_the_mark_stands_between_banner_and_headline(language, verb, said, banner):
    info = replace(INFO, language=language, headline=f"{banner}避難")
    assert marking.headline(info, verb, banner) == banner + said
    assert marking.headline(replace(info, headline=banner + said), verb, banner) == banner + said


def test_an_alert_without_a_headline_is_marked_at_its_event():
    assert marking.headline(replace(INFO, headline=None), Verb.CORRECT, "【訓練】") == "【訓練】【訂正】避難指示"


def test_what_corrects_nothing_says_nothing_of_it():
    assert marking.what_was_wrong(INFO) == ""
