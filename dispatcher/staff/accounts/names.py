"""What an account may be called: a name that people can read and tell from every other, because the ledger says who did what.

A name is kept as it was typed and found by its key, in which 全角 and half width, capitals and small letters are one; so nobody
can be added whose name merely looks new. Whatever repaints a screen (control, bidi and invisible characters) is refused.

Source: Unicode TR 39 §5.1 (restriction), UAX 15 (NFKC); RFC 8265 §3.
"""

import unicodedata

from dispatcher.errors import Finding, InvalidInput
from dispatcher.staff.sessions import one_form

MAX_CHARACTERS = 40
_MARKS = frozenset(" ・･-_.'’（）()")
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters to Unicode, nothing to the eye."""


def named(name: str) -> tuple[str, str]:
    """The name as it is kept, and its key.

    Raises:
        InvalidInput: it is no name for a person of the staff.
    """
    kept = unicodedata.normalize("NFC", name[: MAX_CHARACTERS * 4].replace("\u3000", " ")).strip()
    reasons = []
    if not 1 <= len(kept) <= MAX_CHARACTERS or len(name) > MAX_CHARACTERS * 4:
        reasons.append(f"1文字から{MAX_CHARACTERS}文字までで書いてください (1 to {MAX_CHARACTERS} characters)")
    strange = sorted({f"U+{ord(c):04X}" for c in kept if not _is_readable(c)})[:5]
    if strange:
        reasons.append(f"使えない文字があります：{', '.join(strange)} (letters, digits and simple marks are accepted)")
    elif kept and not any(unicodedata.category(c)[0] in "LN" for c in kept):
        reasons.append("文字か数字がいります (a letter or a digit is needed)")
    if reasons:
        raise InvalidInput([Finding("name", reason) for reason in reasons])
    return kept, key_of(kept)


def key_of(name: str) -> str:
    """The key under which this name would stand; "" for what can be nobody's name."""
    key = one_form(name) if len(name) <= MAX_CHARACTERS * 4 else ""
    return key if all(unicodedata.category(c) not in {"Cc", "Cs"} for c in key) else ""


def legible(text: str, characters: int) -> str:
    """What may be kept of words that came from outside (a browser's name, a reason): one line, nothing that repaints a screen."""
    return "".join(c for c in text[:characters] if c.isprintable())


def _is_readable(character: str) -> bool:
    return character in _MARKS or (unicodedata.category(character)[0] in "LMN" and character not in _INVISIBLE)
