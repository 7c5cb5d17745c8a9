"""A photograph from the field, drawn anew: what is kept is our own JPEG, without whatever the file carried beside the picture.

A telephone writes where its owner stood into every picture, and a file can be anything at all. So the file is opened by its
content as one of four formats, measured before it is unpacked, turned upright, made small, and written again; the original is
gone. One picture at a time, so that a handful of large ones cannot take the memory of the node.

Source: Pillow 11 "Image file formats", `Image.draft`, `ImageOps.exif_transpose`; CWE-409 (decompression bombs).
"""

import asyncio
import hashlib
import io
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from dispatcher.errors import Finding, InvalidInput

LARGEST_BYTES = 10_000_000
MOST_PIXELS = 50_000_000
"""Of a JPEG, which is unpacked small from the beginning."""
MOST_PIXELS_WHOLE = 25_000_000
"""Of a format that has to be unpacked whole: 100 MB in memory."""
LONGEST_SIDE = 1600
QUALITY = 80
FORMATS = ("JPEG", "PNG", "WEBP")
"""What is opened; a JPEG with several pictures in it (MPO) is opened as its first."""

_at_once = asyncio.Semaphore(1)


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture as it is kept; `digest` is the SHA-256 of its bytes in hex."""

    jpeg: bytes
    width: int
    height: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.jpeg).hexdigest()


async def redrawn(data: bytes, where: str = "photo") -> Photo:
    """The picture in these bytes, made anew.

    Raises:
        InvalidInput: too large, no picture, or one that is broken.
    """
    if len(data) > LARGEST_BYTES:
        raise _refused(where, f"{len(data) / 1e6:.1f} MB は大きすぎます。10 MB までです (larger than 10 MB)")
    async with _at_once:
        return await asyncio.to_thread(_redrawn, data, where)


def _redrawn(data: bytes, where: str) -> Photo:
    Image.init()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            is_jpeg = image.format in {"JPEG", "MPO"}
            limit = MOST_PIXELS if is_jpeg else MOST_PIXELS_WHOLE
            if image.width * image.height > limit:
                raise _refused(
                    where,
                    f"{image.width}×{image.height} は大きすぎます。{limit // 1_000_000} メガピクセルまでです (too many pixels)",
                )
            if is_jpeg:
                image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            # What shows through stands on white; every other way of writing colours becomes ours.
            whole = upright.convert("RGBA")
            plain = Image.new("RGB", whole.size, "white")
            plain.paste(whole, mask=whole.getchannel("A"))
    except InvalidInput:
        raise
    except UnidentifiedImageError:
        raise _refused(where, "写真として読めません。JPEG・PNG・WebP を送ってください (JPEG, PNG or WebP)") from None
    except (OSError, ValueError, SyntaxError, LookupError, ArithmeticError, MemoryError, Warning) as broken:
        raise _refused(where, f"写真が壊れています (a broken picture: {type(broken).__name__})") from None
    except Image.DecompressionBombError:
        raise _refused(where, "写真が大きすぎます (too many pixels)") from None
    jpeg = io.BytesIO()
    plain.save(jpeg, "JPEG", quality=QUALITY, optimize=True)
    return Photo(jpeg.getvalue(), plain.width, plain.height)


def _refused(where: str, reason: str) -> InvalidInput:
    return InvalidInput([Finding(where, reason)])
