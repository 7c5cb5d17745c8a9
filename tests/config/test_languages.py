"""What a machine can see of Chinese and Korean, which nobody here reads well: no other script in it, no particle that may be wrong."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOMS = ("config", "channels", "dispatcher", "multicast")
KANA, CHINESE = r"\u3040-\u30ff", r"\u3400-\u9fff"
CHANGING = re.compile(r"\}(은|는|이|가|을|를|과|와|으로|로)(?![가-힣])")
"""Particles that follow the sound before them: what a place-holder ends with is known to nobody here."""


def said(value, language="", where=""):
    """Every text of this language below, with its place."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from said(
                below, key if key in {"ja", "ja-x-easy", "en", "en-US", "zh", "ko"} else language, f"{where}.{key}"
            )
    elif isinstance(value, list):
        for below in value:
            yield from said(below, language, where)
    elif isinstance(value, str):
        yield language, where, value


@cache
def texts(language):
    """Place and text of everything that is said in it."""
    files = [file for room in ROOMS for file in sorted(Path(room).rglob("*.yaml"))]
    return [
        (f"{file}{where}", text)
        for file in files
        if f"{language}:" in (written := file.read_text("utf-8"))
        for spoken, where, text in said(yaml.safe_load(written))
        if spoken == language
    ]


def is_simplified(text):
    """GB 2312 has the simplified characters and almost none of the others."""
    return all(is_in_gb2312(letter) for letter in re.findall(f"[{CHINESE}]", text))


def is_in_gb2312(letter):
    try:
        return bool(letter.encode("gb2312"))
    except UnicodeEncodeError:
        return False


@pytest.mark.parametrize("language", ["zh", "ko"])
def test_there_is_much_to_look_at(language):
    assert len(texts(language)) > 300


def test_chinese_is_simplified_and_has_its_own_marks():
    assert [found for found in texts("zh") if not is_simplified(found[1])] == []
    assert [found for found in texts("zh") if re.search(f"[{KANA}]", found[1])] == [], "the middle dot is kana, too"
    half = rf"[{CHINESE}][,;:!?]|[,;!?][{CHINESE}]"
    assert [found for found in texts("zh") if re.search(half, found[1])] == []


def test_korean_is_hangul_and_no_particle_depends_on_what_stands_in():
    assert [found for found in texts("ko") if re.search(f"[{KANA}{CHINESE}、。：（）「」]", found[1])] == []
    assert [found for found in texts("ko") if CHANGING.search(found[1])] == []
