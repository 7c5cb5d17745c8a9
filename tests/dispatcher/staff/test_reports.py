"""Field reports: written once, with a picture that is drawn anew, whatever the file was."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from dispatcher.errors import InvalidInput, NotFound, Refused
from dispatcher.staff.photo import LARGEST_BYTES, LONGEST_SIDE, redrawn
from dispatcher.staff.rules import Role
from tests.servers.seats import WRITER, person, seats

SAID = {"text": "野川の大沢橋で、水が護岸を越えています。", "place": "大沢二丁目", "source": "消防団", "at": "2:35"}


def picture(form="JPEG", size=(2000, 1000), **options):
    drawn = Image.new("RGB", size, (30, 60, 90))
    drawn.putpixel((0, 0), (255, 0, 0))
    out = io.BytesIO()
    drawn.save(out, form, **options)
    return out.getvalue()


def with_position():
    """A telephone's picture: where it was taken, turned on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "TELEPHONE-MAKER"
    exif.get_ifd(0x8825)[2] = (35.0, 40.0, 12.0)
    return picture(exif=exif.tobytes())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
async def test_a_picture_is_made_small_and_kept_as_our_own_jpeg(form):
    photo = await redrawn(picture(form))
    with Image.open(io.BytesIO(photo.jpeg)) as kept:
        assert kept.format == "JPEG"
        assert max(kept.size) <= LONGEST_SIDE
        assert kept.size == (photo.width, photo.height)


async def test_position_and_camera_are_gone_and_the_picture_stands_upright():
    photo = await redrawn(with_position())
    assert b"TELEPHONE-MAKER" not in photo.jpeg
    assert b"Exif" not in photo.jpeg
    assert photo.height > photo.width
    with Image.open(io.BytesIO(photo.jpeg)) as kept:
        assert not kept.getexif()


async def test_a_picture_with_glass_in_it_stands_on_white():
    glass = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    out = io.BytesIO()
    glass.save(out, "PNG")
    with Image.open(io.BytesIO((await redrawn(out.getvalue())).jpeg)) as kept:
        assert min(kept.getpixel((5, 5))) > 250


def bomb(width, height):
    """A PNG that says it is huge and is a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


HOSTILE = {
    "nothing that is a picture": b"<script>alert(1)</script>",
    "an svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
    "a gif": picture("GIF", (10, 10)),
    "a bomb of many pixels": bomb(60_000, 60_000),
    "a bomb under pillow's own limit": bomb(6_000, 5_000),
    "a png cut short": picture("PNG")[:300],
    "a jpeg of its first bytes": picture()[:200],
    "a jpeg of nothing but its mark": b"\xff\xd8\xff\xe0",
    "a webp cut short": picture("WEBP")[:40],
    "more than ten megabytes": b"\xff\xd8" + b"\0" * LARGEST_BYTES,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_picture_is_refused_at_its_field(data):
    with pytest.raises(InvalidInput) as refused:
        await redrawn(data)
    assert [f.where for f in refused.value.findings] == ["photo"]


async def test_bytes_turned_at_random_are_a_picture_or_refused_and_nothing_else():
    chance = random.Random(7)
    for form in ("JPEG", "PNG", "WEBP"):
        whole = picture(form, (64, 48))
        for _ in range(60):
            bytes_ = bytearray(whole)
            for _ in range(chance.randrange(1, 6)):
                bytes_[chance.randrange(len(bytes_))] = chance.randrange(256)
            try:
                photo = await redrawn(bytes(bytes_))
            except InvalidInput:
                continue
            assert photo.jpeg.startswith(b"\xff\xd8")


async def test_a_report_is_written_once_with_its_picture_and_the_chain_vouches_for_both(tmp_path):
    async with seats(tmp_path) as here:
        here.desk.pictures = tmp_path / "pictures"
        report = await here.desk.write_report(WRITER, **SAID, photo=with_position())
        assert report.quarters == ("132040302",)
        assert f"{report.at:%H:%M}" == "02:35"
        kept = await here.desk.picture(WRITER, report.photo)
        assert kept.jpeg.startswith(b"\xff\xd8")
        await here.desk.write_report(WRITER, **SAID, photo=with_position())
        assert len(list((tmp_path / "pictures").iterdir())) == 1
        (event, _) = await here.events("report.written")
        assert event.facts["photo"] == report.photo
        assert SAID["text"] not in str(event.facts)
        assert await here.ledger.verify() == []
        file = tmp_path / "pictures" / f"{report.photo}.jpg"
        file.write_bytes(picture())
        with pytest.raises(NotFound, match="altered"):
            await here.desk.picture(WRITER, report.photo)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"text": ""}, {"text"}),
        ({"place": " "}, {"place"}),
        (
            {"text": "あ" * 2001, "place": "い" * 101, "source": "う" * 61, "at": "昨日"},
            {"text", "place", "source", "at"},
        ),
        ({"at": "2026-12-01 10:00"}, {"at"}),
        ({"at": "2026-01-01 10:00"}, {"at"}),
        ({"at": "99:99"}, {"at"}),
        ({"text": "a\u202eb", "source": "\x07"}, {"text", "source"}),
        ({"photo": b"GIF89a"}, {"photo"}),
        ({"text": "", "photo": b"no"}, {"text", "photo"}),
    ],
)
async def test_everything_wrong_with_a_report_is_said_at_once_and_nothing_is_kept(tmp_path, changes, where):
    async with seats(tmp_path) as here:
        here.desk.pictures = tmp_path / "pictures"
        with pytest.raises(InvalidInput) as refused:
            await here.desk.write_report(WRITER, **{**SAID, **changes})
        assert {f.where for f in refused.value.findings} == where
        assert await here.desk.reports(WRITER) == []
        assert not (tmp_path / "pictures").exists()


async def test_reports_come_newest_first_and_viewers_write_none(tmp_path):
    async with seats(tmp_path) as here:
        for at in ("2:10", "2:30", "23:50"):
            await here.desk.write_report(WRITER, **{**SAID, "at": at})
        assert [f"{r.at:%H:%M}" for r in await here.desk.reports(WRITER)] == ["02:30", "02:10", "23:50"]
        with pytest.raises(Refused):
            await here.desk.write_report(person(Role.VIEWER), **SAID)
        with pytest.raises(InvalidInput, match="keeps no pictures"):
            await here.desk.write_report(WRITER, **SAID, photo=picture())
        for asked in ("../../etc/passwd", "0" * 64):
            with pytest.raises(NotFound):
                await here.desk.picture(WRITER, asked)


# -- forms half written ------------------------------------------------------------------------------------------------


async def test_what_one_person_types_is_kept_for_that_person_alone(tmp_path):
    async with seats(tmp_path) as here:
        other = person(Role.ORIGINATOR)
        kept = await here.desk.keep_form(WRITER, "new-1", {"cause": "野川"}, 0)
        await here.desk.keep_form(other, "new-1", {"cause": "別の文"}, 0)
        kept = await here.desk.keep_form(WRITER, "new-1", {"cause": "野川の水位"}, kept.version)
        assert (await here.desk.form(WRITER, "new-1")).body == {"cause": "野川の水位"}
        assert (await here.desk.form(other, "new-1")).body == {"cause": "別の文"}
        await here.desk.drop_form(WRITER, "new-1")
        assert await here.desk.form(WRITER, "new-1") is None
        assert len(await here.desk.half_written(other)) == 1


async def test_half_written_forms_are_bounded_and_the_oldest_goes(tmp_path):
    async with seats(tmp_path) as here:
        for number in range(15):
            await here.desk.keep_form(WRITER, f"new-{number}", {"cause": str(number)}, 0)
            here.clock.advance(1)
        assert [h.key for h in await here.desk.half_written(WRITER)] == [f"new-{n}" for n in range(14, 2, -1)]
        with pytest.raises(InvalidInput):
            await here.desk.keep_form(WRITER, "new-x", {"cause": "あ" * 100_001}, 0)
