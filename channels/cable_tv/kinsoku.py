"""Where a Japanese line may break, and where it reads well to break it.

Three things decide, in this order: what must not be torn (禁則, a word or number in Latin letters, a telephone number, a figure
and what it counts); how much fits; and, of the places left near the end of the line, the one where a reader pauses anyway.

Source: JIS X 4051:2004 §6.1 (line-start and line-end prohibition, strict); UAX #14; facts.md §Cable-TV text.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator

NOT_AT_START = frozenset(
    "、。，．・：；？！‼⁇⁈⁉゛゜ヽヾゝゞ々〻ー―‐゠–〜～…‥）」』】〕〉》｝］〙〗”’｠»"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"
    ",.:;?!)]}%°℃％‰′″"
)
NOT_AT_END = frozenset("（「『【〔〈《｛［〘〖“‘｟«([{￥＄£¥$＃№第")
INSEPARABLE = frozenset("―…‥")
PAUSES = frozenset("、。，．！？」』】）〕 　")

PAUSE_FROM, SEAM_FROM = 0.5, 0.65
"""A pause this far into the line is preferred to a fuller line; so is the seam between two phrases, where kana ends and kanji
begins."""
LEAST_FIRST = 0.3
"""Where two lines hold all the rest they are made about as long as each other, the first rather the longer; no shorter than
this."""

LONGEST_LINE = 400
"""Characters; no line of a screen holds more, so no more are ever measured."""

_PHONE = re.compile(
    r"(?<![0-9０-９])[0０][0-9０-９]{1,4}[-－−‐ー―(（][0-9０-９]{1,4}[-－−‐ー―)）][0-9０-９]{3,4}(?![0-9０-９])"
)
_HYPHENS = str.maketrans("－−‐ー―(（)）", "---------")

Measure = Callable[[str], float]
"""Width of a text in pixels."""


def half_width_phones(text: str) -> str:
    """Telephone numbers in half-width figures and hyphens: full-width ones are torn by every line breaker."""
    return _PHONE.sub(lambda found: unicodedata.normalize("NFKC", found.group().translate(_HYPHENS)), text)


def may_break(text: str, at: int) -> bool:
    """Whether a line may end before `text[at]`."""
    before, after = text[at - 1], text[at]
    if after in NOT_AT_START or before in NOT_AT_END or after.isspace():
        return False
    if before.isspace():
        return True
    if (before == after and before in INSEPARABLE) or after == "丁" or before + after == "丁目":
        return False
    if before.isdigit() and not _is_kana(after):
        return False  # 2階, 3時
    return not (_is_western(before) and _is_western(after))


def break_line(text: str, width_px: float, measure: Measure) -> tuple[str, str]:
    """The first line of `text` that is no wider, and the rest. Spaces at the break go; nothing else does.

    A piece that alone is wider than the line is torn where the line is full, because it has to be read.
    """
    text = text.strip()
    fits = _fitting(text, width_px, measure)
    if fits >= len(text):
        return text, ""
    legal = [at for at in range(1, fits + 1) if may_break(text, at)]
    at = _best(text, legal, width_px, measure) or max(fits, 1)
    return text[:at].rstrip(), text[at:].lstrip()


def wrap(text: str, width_px: float, measure: Measure) -> Iterator[str]:
    """All lines of a text; its own line breaks stand."""
    for paragraph in text.splitlines():
        rest = paragraph.strip()
        while rest:
            line, rest = break_line(rest, width_px, measure)
            yield line


def _fitting(text: str, width_px: float, measure: Measure) -> int:
    low, high = 0, min(len(text), LONGEST_LINE)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(text[:middle].rstrip()) <= width_px else (low, middle - 1)
    return low


def _best(text: str, legal: list[int], width_px: float, measure: Measure) -> int | None:
    """The place to break, of those that are allowed and fit; None where there is none."""
    if not legal:
        return None
    first = {at: measure(text[:at].rstrip()) for at in legal}
    if len(text) <= 2 * LONGEST_LINE and measure(text[legal[-1] :].lstrip()) <= width_px:
        rest = {at: measure(text[at:].lstrip()) for at in legal}
        for is_good in (_is_pause, _is_seam):
            ends = [a for a in legal if is_good(text, a) and first[a] >= LEAST_FIRST * width_px and rest[a] <= width_px]
            if ends:
                return min(ends, key=lambda at: max(first[at] - rest[at], 1.5 * (rest[at] - first[at])))
    for is_good, least in ((_is_pause, PAUSE_FROM), (_is_seam, SEAM_FROM)):
        for at in reversed(legal):
            if is_good(text, at) and first[at] >= least * width_px:
                return at
    return legal[-1]


def _is_pause(text: str, at: int) -> bool:
    return text[at - 1] in PAUSES


def _is_seam(text: str, at: int) -> bool:
    return _is_kana(text[at - 1]) and not _is_kana(text[at])


def _is_kana(character: str) -> bool:
    return "\u3041" <= character <= "\u309f"  # hiragana only: katakana is a word, not a particle


def _is_western(character: str) -> bool:
    return character < "\u2e80" and not character.isspace()
