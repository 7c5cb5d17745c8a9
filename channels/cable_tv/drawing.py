"""Pages as PNG, 1920×1080: the only module that draws, and the only one that imports Pillow.

The level is told four times over, by number, word, shape and colour, so that none of them has to be seen. Text keeps inside
the title-safe edge, 96 px at the sides and 54 px at top and bottom, and is never smaller than 44 px. What a drill needs to say
stands above the level in the mode's own blue and hatching, and again at the head of the lines.

Fonts: Noto Sans CJK JP, bold and regular (Debian package fonts-noto-cjk), drawn with Pillow's basic layout, which is the same
everywhere.

Source: mockups tv.html, README "Tokens", "Must not change"; ITU-R BT.1848 (safe areas); W3C PNG §11.2, §12.7 (filters);
design.md §7 level colours.
"""

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from channels.cable_tv.kinsoku import wrap
from channels.cable_tv.pages import FOOT_LINES, Head, Kind, Page, wordings
from dispatcher.model.draft import ENDING, Verb

WIDTH_PX, HEIGHT_PX = 1920, 1080
SIDE_PX, FOOT_PX = 480, 270
SAFE_X, SAFE_Y = 96, 54
LEAST_PX, TITLE_PX, BODY_PX = 44, 64, 82
LONGEST_HEAD = 200
"""Characters of a title that are tried to fit; staff were told long before."""

FOLDERS = (
    "/usr/share/fonts/opentype/noto",  # Debian, Ubuntu: fonts-noto-cjk
    "/usr/share/fonts/noto-cjk",  # Arch: noto-fonts-cjk
    "/usr/share/fonts/google-noto-sans-cjk-fonts",  # Fedora
    "/usr/share/fonts/google-noto-cjk",
    "/usr/local/share/fonts",
)
FILES = {"bold": "NotoSansCJK-Bold.ttc", "regular": "NotoSansCJK-Regular.ttc"}
NO_FONT = (
    "Noto Sans CJK is not on this machine: install Debian's package fonts-noto-cjk, "
    f"or name the folder that holds {' and '.join(FILES.values())}"
)

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
INK: Colour = (12, 0, 12)
GROUND: Colour = (11, 23, 54)
DRILL: Colour = (11, 63, 150)
DRILL_LIGHT: Colour = (60, 108, 190)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UNFILTERED = b"\0"
PACKED = 3
"""zlib's level."""
KEY: Colour = (0, 255, 0)
"""The colour that a chroma keyer takes out, for operators whose mixer has no alpha input."""


@dataclass(frozen=True, slots=True)
class Plate:
    """How a level looks: `shape` is its form, `text` stands on `ground`."""

    ground: Colour
    text: Colour
    shape: str


LEVELS = {
    5: Plate(INK, WHITE, "square"),
    4: Plate((170, 0, 170), WHITE, "diamond"),
    3: Plate((255, 40, 0), INK, "triangle"),  # white on it is 3.8:1
    2: Plate((242, 231, 0), INK, "disc"),
    1: Plate(WHITE, INK, "ring"),
}
NO_LEVEL = Plate(INK, WHITE, "")
OVER = Plate(WHITE, INK, "")
"""解除 and 取消: no level's colour, so that nobody takes it for an order from across the room."""

_SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((0.07, 0.07), (0.93, 0.07), (0.93, 0.93), (0.07, 0.93)),
    "diamond": ((0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)),
    "triangle": ((0.5, 0.0), (1.0, 0.95), (0.0, 0.95)),
}


class Studio:
    """Fonts, and pages drawn with them.

    Raises:
        FileNotFoundError: there is no such font; the text names the package.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._files = {weight: str(_find(name, folder)) for weight, name in FILES.items()}
        self._fonts: dict[tuple[str, int], ImageFont.FreeTypeFont] = {}
        # While somebody types, nearly every line is one that was measured a keystroke ago.
        self._width: Callable[[str, int, str], float] = lru_cache(maxsize=16_384)(self._measured)
        self._kept = lru_cache(maxsize=64)(self._draw)  # what staff previewed is what goes out a minute later

    def measure(self, text: str) -> float:
        """Width of body text in pixels."""
        return self._width(text, BODY_PX, "bold")

    def _measured(self, text: str, size: int, weight: str) -> float:
        return self._font(size, weight).getlength(text)

    def _ruler(self, size: int, weight: str) -> Callable[[str], float]:
        def width(text: str) -> float:
            return self._width(text, size, weight)

        return width

    def has(self, character: str) -> bool:
        """Whether the font can draw it; what it cannot comes out as a box."""
        missing = _ink(self._font(LEAST_PX), "\U0010ffff")
        return character.isspace() or _ink(self._font(LEAST_PX), character) != missing

    def draw(self, pages: Sequence[Page], *, keyed: bool = False) -> list[bytes]:
        """The pages as PNG, 35 ms each on one core. The picture area of an L-shape is transparent, or `KEY` if keyed."""
        with ThreadPoolExecutor(
            min(4, os.cpu_count() or 1)
        ) as pool:  # Pillow lets other threads run while it compresses
            return list(pool.map(lambda page: self._kept(page, keyed=keyed), pages))

    def _draw(self, page: Page, *, keyed: bool = False) -> bytes:
        if page.kind is Kind.LSHAPE:
            image = Image.new("RGBA", (WIDTH_PX, HEIGHT_PX), (*KEY, 255) if keyed else (0, 0, 0, 0))
            self._lshape(image, page)
        else:
            image = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), GROUND)
            self._full(image, page)
        return _png(image)

    def _lshape(self, image: Image.Image, page: Page) -> None:
        draw = ImageDraw.Draw(image)
        head = page.head
        top = HEIGHT_PX - FOOT_PX
        draw.rectangle((0, 0, SIDE_PX - 1, top - 1), fill=GROUND)
        draw.rectangle((0, top, WIDTH_PX, HEIGHT_PX), fill=GROUND)
        plate_top = 0
        if head.banner:
            plate_top = 134
            self._hatch(image, (SIDE_PX, plate_top))
            self._centred(draw, _bare(head.banner), (SAFE_X, SAFE_Y, SIDE_PX - 12, plate_top - 8), 64, DRILL)
        plate_bottom = 440 + plate_top // 4
        self._plate(draw, head, (0, plate_top, SIDE_PX, plate_bottom))
        place_bottom = top - 78
        self._centred(draw, head.place, (SAFE_X, plate_bottom + 14, SIDE_PX - 12, place_bottom), 96, None, most_lines=4)
        self._centred(
            draw, head.issued, (SAFE_X, place_bottom, SIDE_PX - 12, top - 14), LEAST_PX, None, weight="regular"
        )
        draw.rectangle((0, top, WIDTH_PX, top + 5), fill=WHITE)
        draw.rectangle((SIDE_PX - 3, 0, SIDE_PX - 1, top), fill=WHITE)
        first = top + 100 + (FOOT_LINES - len(page.lines)) * 49
        for n, line in enumerate(page.lines):
            draw.text((SAFE_X, first + n * 98), line, font=self._font(BODY_PX), fill=WHITE, anchor="ls")

    def _plate(self, draw: ImageDraw.ImageDraw, head: Head, box: tuple[int, int, int, int]) -> None:
        """What it is: shape and number, level and event; or 取消, with the event that was wrong."""
        plate = _plate_of(head)
        left, top, right, bottom = box
        draw.rectangle((left, top, right - 1, bottom - 1), fill=plate.ground)
        inner = (SAFE_X, max(top + 14, SAFE_Y), right - 12, bottom - 16)
        if head.verb in ENDING:
            words = wordings(head.language)
            middle = inner[1] + (inner[3] - inner[1]) * 9 // 20
            self._centred(draw, words.verbs[head.verb], (inner[0], inner[1], inner[2], middle), 168, plate.text)
            rest = head.event + (words.was_wrong if head.verb is Verb.RETRACT else "")
            self._centred(draw, rest, (inner[0], middle + 10, inner[2], inner[3]), 72, plate.text, most_lines=3)
        elif head.level is None:
            self._centred(draw, head.event, inner, 112, plate.text, most_lines=3)
        else:
            size = min(168, inner[3] - inner[1] - 190)
            self._shape(draw, head.level, plate, ((inner[0] + inner[2] - size) // 2, inner[1]), size)
            level_top = inner[1] + size + 10
            self._centred(draw, head.level_words, (inner[0], level_top, inner[2], level_top + 62), 56, plate.text)
            self._centred(
                draw, head.event, (inner[0], level_top + 62, inner[2], inner[3]), 88, plate.text, most_lines=2
            )

    def _full(self, image: Image.Image, page: Page) -> None:
        draw = ImageDraw.Draw(image)
        head = page.head
        plate = _plate_of(head)
        top = 0
        if head.banner:
            top = 134
            self._hatch(image, (WIDTH_PX, top))
            self._left(draw, _bare(head.banner), (SAFE_X, SAFE_Y, WIDTH_PX - SAFE_X, top - 8), 64, DRILL)
        bottom = top + 176 if top else 220
        draw.rectangle((0, top, WIDTH_PX, bottom - 1), fill=plate.ground)
        draw.rectangle((0, bottom, WIDTH_PX, bottom + 5), fill=WHITE)
        x, y = SAFE_X, max(top + 14, SAFE_Y)
        if head.level is not None:
            self._shape(draw, head.level, plate, (x, y), bottom - 14 - y)
            x += bottom - 14 - y + 28
        words = wordings(head.language)
        title = [head.level_words, head.event, head.place]
        if head.verb in ENDING:
            title = [
                words.verbs[head.verb],
                head.event + (words.was_wrong if head.verb is Verb.RETRACT else ""),
                head.place,
            ]
        gap = "　" if words.comma == "、" else "  "
        said = [part for part in title if part]
        box = (x, y, WIDTH_PX - SAFE_X, bottom - 14)
        size, _ = self._fit(gap.join(said), box, 88, 1, "bold")
        joined = gap.join(said) if size >= TITLE_PX else f"{gap.join(said[:-1])}\n{said[-1]}"
        self._left(draw, joined, box, 88, plate.text, most_lines=2)
        for n, line in enumerate(page.lines):
            baseline = bottom + 112 + n * 118
            draw.text((SAFE_X, baseline), line, font=self._font(BODY_PX), fill=WHITE, anchor="ls")
        foot = self._font(LEAST_PX, "regular")
        base = HEIGHT_PX - SAFE_Y - 12
        draw.text((SAFE_X, base), head.issued, font=foot, fill=WHITE, anchor="ls")
        draw.text((WIDTH_PX - SAFE_X, base), f"{page.number}/{page.count}", font=foot, fill=WHITE, anchor="rs")

    def _shape(self, draw: ImageDraw.ImageDraw, level: int, plate: Plate, at: tuple[int, int], size: int) -> None:
        x, y = at
        if plate.shape in _SHAPES:
            draw.polygon([(x + u * size, y + v * size) for u, v in _SHAPES[plate.shape]], fill=plate.text)
        else:
            draw.ellipse((x, y, x + size, y + size), fill=plate.text)
        if plate.shape == "ring":
            edge = size // 12
            draw.ellipse((x + edge, y + edge, x + size - edge, y + size - edge), fill=plate.ground)
        number = plate.text if plate.shape == "ring" else (INK if plate.text == WHITE else WHITE)
        low = 0.66 if plate.shape == "triangle" else 0.5
        draw.text((x + size / 2, y + size * low), str(level), font=self._font(size * 4 // 7), fill=number, anchor="mm")

    def _hatch(self, image: Image.Image, size: tuple[int, int]) -> None:
        """The drill's stripes, 45°, at the top left."""
        width, height = size
        strip = Image.new("RGB", size, DRILL)
        stripes = ImageDraw.Draw(strip)
        for x in range(-height, width, 48):
            stripes.polygon([(x, height), (x + 24, height), (x + 24 + height, 0), (x + height, 0)], fill=DRILL_LIGHT)
        image.paste(strip, (0, 0))

    def _centred(
        self,
        draw: ImageDraw.ImageDraw,
        text: str,
        box: tuple[int, int, int, int],
        size: int,
        colour: Colour | None,
        *,
        most_lines: int = 1,
        weight: str = "bold",
    ) -> None:
        """Text in the middle of a box, as large as fits up to `size`. In `DRILL` it stands on a white field."""
        fitted, lines = self._fit(text, box, size, most_lines, weight)
        font = self._font(fitted, weight)
        height = fitted * 6 // 5
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - height * (len(lines) - 1) / 2
        if colour == DRILL:
            half = max(font.getlength(line) for line in lines) / 2 + 16
            draw.rectangle((x - half, y - height * 0.54, x + half, y + height * 0.54), fill=WHITE)
        for n, line in enumerate(lines):
            draw.text((x, y + n * height + fitted * 0.36), line, font=font, fill=colour or WHITE, anchor="ms")

    def _left(
        self,
        draw: ImageDraw.ImageDraw,
        text: str,
        box: tuple[int, int, int, int],
        size: int,
        colour: Colour,
        *,
        most_lines: int = 1,
    ) -> None:
        """Text at the left of a box, in the middle of its height."""
        fitted, lines = self._fit(text, box, size, most_lines, "bold")
        font = self._font(fitted)
        height = fitted * 6 // 5
        y = (box[1] + box[3]) / 2 - height * (len(lines) - 1) / 2
        if colour == DRILL:
            draw.rectangle(
                (box[0] - 16, y - height * 0.54, box[0] + font.getlength(text) + 16, y + height * 0.54), fill=WHITE
            )
        for n, line in enumerate(lines):
            draw.text((box[0], y + n * height + fitted * 0.36), line, font=font, fill=colour, anchor="ls")

    def _fit(
        self, text: str, box: tuple[int, int, int, int], size: int, most_lines: int, weight: str
    ) -> tuple[int, Sequence[str]]:
        """The largest size, down to `LEAST_PX`, at which the text fits the box; at the least, the lines that do."""
        width, height = box[2] - box[0], box[3] - box[1]
        text = text[:LONGEST_HEAD]
        for wanted in range(1, most_lines + 1):
            least = LEAST_PX if wanted == most_lines else size * 5 // 8  # rather two larger lines than a small one
            for fitted in range(size, least - 1, -4):
                lines = list(wrap(text, width, self._ruler(fitted, weight)))
                if len(lines) <= wanted and len(lines) * fitted * 11 // 10 <= height and _keeps_words(text, lines):
                    return fitted, lines
        for fitted in range(
            LEAST_PX, LEAST_PX // 4, -4
        ):  # a finding has told staff that it is too long; it is still not cut
            lines = list(wrap(text, width, self._ruler(fitted, weight)))
            if len(lines) * fitted * 11 // 10 <= height:
                break
        return fitted, lines

    def _font(self, size: int, weight: str = "bold") -> ImageFont.FreeTypeFont:
        key = (weight, size)
        if key not in self._fonts:  # index 0 of the collection is JP: the same code points look different in SC and KR
            self._fonts[key] = ImageFont.truetype(self._files[weight], size, 0, layout_engine=ImageFont.Layout.BASIC)
        return self._fonts[key]


def _png(image: Image.Image) -> bytes:
    """The picture as PNG, every row unfiltered.

    Pillow tries all five filters on every row, which makes flat pictures like these larger, and slower by 30 ms a page: with
    staff typing, that is the time until they see it.
    """
    row_bytes = image.width * len(image.getbands())
    # Asked for rows one byte longer than they are, Pillow ends each with a zero: the mark that has to stand before the next.
    rows = memoryview(image.tobytes("raw", image.mode, row_bytes + 1))[:-1]
    packing = zlib.compressobj(PACKED)
    packed = packing.compress(_UNFILTERED) + packing.compress(rows) + packing.flush()
    colour_type = {"RGB": 2, "RGBA": 6}[image.mode]
    header = struct.pack(">IIBBBBB", image.width, image.height, 8, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _plate_of(head: Head) -> Plate:
    if head.verb in ENDING:
        return OVER
    return NO_LEVEL if head.level is None else LEVELS[head.level]


def _bare(banner: str) -> str:
    """訓練, DRILL: the word without its brackets, for where it has a field of its own."""
    return banner.strip().strip("【】[]")


def _keeps_words(text: str, lines: Sequence[str]) -> bool:
    """Whether no word in Latin letters was torn for want of room."""
    return all(any(word in line for line in lines) for word in text.split() if word.isascii())


@cache
def _ink(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    return bytes(font.getmask(character))


def _find(name: str, folder: Path | None) -> Path:
    places = [folder] if folder else [Path(place) for place in FOLDERS]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(NO_FONT)


@cache
def studio(folder: Path | None) -> Studio:
    """The one studio for these fonts.

    Raises:
        FileNotFoundError: there is no such font; the text names the package.
    """
    return Studio(folder)
