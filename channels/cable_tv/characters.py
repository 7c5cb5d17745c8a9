"""Which characters an operator's titler can show: JIS X 0208, with three look-alikes put right first.

A keyboard on Windows makes ～ － ∥ of other code points than JIS does. They are the same signs, so they are exchanged; nothing
else is: NFKC would make 1 of ① and change what people read.

Source: JIS X 0208:1997; facts.md §Cable-TV text.
"""

import unicodedata

_SAME_SIGN = str.maketrans({"～": "〜", "－": "−", "∥": "‖"})


def for_titler(text: str) -> str:
    """The text with the three look-alikes as JIS has them."""
    return text.translate(_SAME_SIGN)


def beyond_titler(text: str) -> list[str]:
    """Characters that JIS X 0208 and ASCII do not have, each once, in order."""
    return [c for c in dict.fromkeys(for_titler(text)) if c != "\n" and not _is_in_jis(c)]


def named(character: str) -> str:
    """髙（U+9AD9）"""
    shown = character if unicodedata.category(character)[0] != "C" else ""
    return f"{shown}（U+{ord(character):04X}）"


def _is_in_jis(character: str) -> bool:
    try:
        character.encode("iso2022_jp")  # Python's knows ASCII, JIS X 0201 Roman and JIS X 0208 only
    except UnicodeEncodeError:
        return False
    return unicodedata.category(character) != "Cc"
