"""What people type, as it goes on: their words, without what could deceive whoever reads them, in one form for each thing.

Nothing is refused for how it looks: a name may be in any script. What no page and no printer may be given (control characters,
marks that turn the direction of writing round) is taken out; what is too long goes back to whoever wrote it, with all the rest.

Source: Unicode TR 36 §2 (bidi); CVE-2021-42574; ITU-T E.164 (numbers); 元号 by 元号を改める政令.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from dispatcher.model.campaign import Answer

LIMITS: Mapping[str, int] = MappingProxyType({"name": 60, "birth": 40, "phone": 40, "where": 100, "note": 300})
"""Characters at most; a whole form of them is a third of what the listener takes."""

_ERAS = {
    "明治": 1867,
    "大正": 1911,
    "昭和": 1925,
    "平成": 1988,
    "令和": 2018,
    "M": 1867,
    "T": 1911,
    "S": 1925,
    "H": 1988,
    "R": 2018,
}
_ERA = re.compile(r"(明治|大正|昭和|平成|令和|[MTSHR])\s*(元|\d{1,2})[年./-]\s*(\d{1,2})[月./-]\s*(\d{1,2})日?")
_DATE = re.compile(r"(\d{4})[年./-]?\s*(\d{1,2})[月./-]?\s*(\d{1,2})日?")
_OLDEST = 130
"""Years: nobody was born before that."""


ANSWERS = frozenset(answer.value for answer in Answer)
"""What a button sends."""


def inert(text: str) -> str:
    """The text in lines, without control characters, without marks that change what is seen, in composed form."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = "".join(c for c in text if c == "\n" or not unicodedata.category(c).startswith("C") or c in "\u200c\u200d")
    return "\n".join(line for line in (" ".join(line.split()) for line in kept.split("\n")) if line)


def line(text: str) -> str:
    """As `inert`, in one line."""
    return " ".join(inert(text).split("\n"))


def birth_date(text: str, today: date) -> str | None:
    """ISO 8601 of a date as people write it: 1950-4-1, 1950年4月1日, 19500401, 昭和25年4月1日, S25.4.1.

    "" where nothing was typed, None where it is no date.
    """
    said = unicodedata.normalize("NFKC", text).strip().upper()
    if not said:
        return ""
    if found := _ERA.fullmatch(said):
        year = _ERAS[found[1]] + (1 if found[2] == "元" else int(found[2]))
    elif found := re.fullmatch(r"(\d{4})(\d{2})(\d{2})", said) or _DATE.fullmatch(said):
        year = int(found[1])
    else:
        return None
    try:
        born = date(year, *(int(part) for part in found.groups()[-2:]))
    except ValueError:
        return None
    return born.isoformat() if today.year - _OLDEST <= born.year and born <= today else None


def phone(text: str) -> str | None:
    """The digits of a telephone number, from Japan's own 0; "" for none, None for no number."""
    said = unicodedata.normalize("NFKC", text).strip()
    if not said:
        return ""
    digits = re.sub(r"[-‐‑–—ー−.() ]", "", said)
    digits = re.sub(r"^\+81\(?0?\)?", "0", digits)
    return digits.removeprefix("+") if re.fullmatch(r"\+?\d{9,15}", digits) else None


def too_long(fields: Mapping[str, str]) -> dict[str, int]:
    """The fields that are longer than they may be, with what they may be."""
    return {name: limit for name, limit in LIMITS.items() if len(fields.get(name, "").replace("\r\n", "\n")) > limit}
