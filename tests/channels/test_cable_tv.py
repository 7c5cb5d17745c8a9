"""The cable-TV channel against two operators' pick-up machines; frames are read back by tesseract."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from lxml import etree
from PIL import Image, ImageChops, ImageOps

from channels.cable_tv import CableTv, Kind, Operator, Picture, Settings, drop_name
from channels.cable_tv.characters import beyond_titler, for_titler
from channels.cable_tv.drawing import BODY_PX, LEAST_PX
from channels.cable_tv.drop import Confirm
from config.cities import load
from dispatcher.model.alert import Added, Alert, Area
from dispatcher.model.delivery import Outcome
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from drills.world.cable_tv import Manner, World
from tests.contracts.channel_contract import ChannelContract, Memory, Rig, attempt, members, surroundings, until_taken
from tests.samples import OSAWA, SENT, correction, evacuation_order, lifting, retraction

SOON = SENT + timedelta(days=3650)  # the samples' day may lie before or after the day of the test


def settings_for(world: World, **others) -> Settings:
    operators = tuple(
        Operator(name=m.name, title=m.name, drop=m.drop, confirm=Confirm(m.confirm)) for m in world.machines
    )
    return Settings(**({"operators": operators, "pick_up": 3.0, "look_every": 0.03} | others))


class TvRig(Rig):
    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.channel: CableTv[Drill] = CableTv(Drill, settings_for(world), surroundings(folder / "state"))

    async def texts(self) -> Sequence[tuple[str, str]]:
        await self.world.keep(self.folder / "kept")
        pages: list[tuple[str, str]] = []
        for path in (self.folder / "kept").glob("*/*/pages.xml"):
            pages += [(page.get("language"), "\n".join(page.itertext())) for page in etree.parse(path).getroot()]
        return pages

    async def tellings(self, rendering: Rendering[Drill]) -> Counter[str]:
        name = drop_name(rendering)
        return Counter(m.name for m in self.world.machines for taken in m.taken if taken["name"] == name)

    def broken(self) -> AbstractAsyncContextManager[None]:
        return self.world.down()

    def other_mode(self) -> CableTv[Live]:
        return CableTv(Live, settings_for(self.world), surroundings(self.folder / "live"))


async def make_rig(tmp_path: Path) -> AsyncIterator[TvRig]:
    async with World(tmp_path / "world", load("mitaka"), seed=1) as world:
        rig = TvRig(world, tmp_path)
        async with rig.channel.open(Memory()):
            yield rig
        assert not [c for m in world.machines for c in m.complaints]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[TvRig]:
    async for rig in make_rig(tmp_path):
        yield rig


class TestCableTvKeepsTheContract(ChannelContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[TvRig]:
        async for rig in make_rig(tmp_path):
            yield rig


def order(mode=Drill, **changes) -> Alert:
    """An order that has not expired, with changes to its Japanese."""
    alert = evacuation_order(mode)
    infos = [replace(i, expires=SOON) for i in alert.info]
    return replace(alert, info=(replace(infos[0], **changes), *infos[1:]))


def rendered(mode, alert: Alert, tmp_path: Path, **others) -> Rendering:
    operators = (Operator(name="a", drop=tmp_path),)
    channel = CableTv(mode, Settings(**({"operators": operators} | others)), surroundings(tmp_path / "state"))
    return channel._render(_with_banner(alert, mode), None)


def _with_banner(alert: Alert, mode) -> Alert:
    from dispatcher.channel import with_banner

    return with_banner(alert, mode)


def picture(rendering: Rendering, name: str) -> Image.Image:
    return Image.open(io.BytesIO(rendering.part(name)))


def read_back(image: Image.Image, box: tuple[int, int, int, int], *, negate: bool = True) -> str:
    """What tesseract reads in that part of the picture, without spaces."""
    grey = ImageOps.grayscale(image.convert("RGB").crop(box))
    file = io.BytesIO()
    ImageOps.expand(ImageOps.invert(grey) if negate else grey, 20, 255).save(file, "PNG")
    done = subprocess.run(
        ["tesseract", "-", "-", "-l", "jpn", "--psm", "6"],
        input=file.getvalue(), capture_output=True, check=True, timeout=60, env={"OMP_THREAD_LIMIT": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return "".join(done.stdout.decode().split())


def without_flood(text: str) -> str:
    return re.sub(r"(?<=野川|り、)..?(?=のおそれ)", "", text)


FOOT = (60, 818, 1920, 1080)
ISSUED = (60, 730, 470, 808)


def test_the_kind_is_found_by_the_name_of_its_module():
    assert Kind.kind == "cable_tv"


# What a viewer sees


def test_both_lines_of_the_l_shape_read_back_exactly(tmp_path: Path):
    short = replace(order().info[0].parameter[1], value="大沢 野川の水が増えています 全員 いますぐ避難")
    for words in (short, order().info[0].parameter[1]):
        rendering = rendered(Drill, order(parameter=(words,)), tmp_path)
        lines = rendering.texts[0].words.splitlines()[1:]
        assert len(lines) == 2
        expected = "".join("".join(lines).split())
        assert expected.startswith("【訓練】大沢")
        # tesseract's Japanese model does not know 氾濫, whatever the font or size: it reads another two characters there
        assert without_flood(read_back(picture(rendering, "lshape-1.png"), FOOT)) == without_flood(expected)


def test_the_side_panel_says_level_event_place_and_time(tmp_path: Path):
    image = picture(rendered(Live, order(), tmp_path), "lshape-1.png")
    assert "レベル4避難指示" in read_back(image, (60, 236, 470, 436))
    assert read_back(image, (60, 480, 470, 720)) == "大沢"
    assert "2:41発表" in read_back(image, ISSUED)


def test_the_side_panel_of_a_drill_says_so_above_the_level(tmp_path: Path):
    drill = picture(rendered(Drill, order(), tmp_path), "lshape-1.png")
    live = picture(rendered(Live, order(), tmp_path), "lshape-1.png")
    assert read_back(drill, (206, 62, 358, 122), negate=False) == "訓練"
    assert "訓練" not in read_back(live, (60, 0, 480, 230)) + read_back(live, FOOT)


def test_a_retraction_says_so_larger_than_anything_and_shows_no_level(tmp_path: Path):
    rendering = rendered(Live, retraction(order(Live)), tmp_path)
    image = picture(rendering, "lshape-1.png")
    assert read_back(image, (60, 50, 470, 215), negate=False) == "取消"
    assert "避難指示は誤りです" in read_back(image, (60, 225, 470, 438), negate=False)
    assert read_back(image, FOOT).startswith("【取消】大沢の避難指示は誤りです")
    assert (170, 0, 170) not in {color[:3] for _, color in image.getcolors(1 << 20)}
    assert not any("警戒レベル" in text.words for text in rendering.texts)
    full = picture(rendering, "full-1.png").reduce(2)
    assert read_back(full, (45, 30, 915, 105), negate=False) == "取消避難指示は誤りです大沢"


def test_a_full_page_reads_back_with_its_place(tmp_path: Path):
    rendering = rendered(Drill, order(), tmp_path)
    page = picture(rendering, "full-1.png")
    assert read_back(page, (84, 62, 236, 122), negate=False) == "訓練"
    assert "避難指示大沢" in read_back(page, (230, 140, 1800, 308))
    first = next(t for t in rendering.texts if t.words.splitlines()[1].startswith("大沢の人"))
    body = "".join("".join(first.words.splitlines()[1:]).split())
    assert without_flood(read_back(page, (80, 322, 1860, 950))) == without_flood(body)


def test_the_picture_area_is_left_free_and_nothing_stands_outside_the_safe_area(tmp_path: Path):
    key = (Operator(name="a", drop=tmp_path, picture=Picture.KEY),)
    for mode in (Drill, Live):
        rendering = rendered(mode, order(), tmp_path, operators=key)
        frame = picture(rendering, "lshape-1.png")
        assert frame.size == (1920, 1080)
        assert frame.mode == "RGBA"
        assert frame.getchannel("A").crop((480, 0, 1920, 810)).getextrema() == (0, 0)
        assert frame.getchannel("A").crop((0, 810, 1920, 1080)).getextrema() == (255, 255)
        assert frame.getchannel("A").crop((0, 0, 480, 810)).getextrema() == (255, 255)
        keyed = picture(rendering, "key-lshape-1.png").convert("RGB").crop((480, 0, 1920, 810))
        assert keyed.getcolors() == [(1440 * 810, (0, 255, 0))]
        for name in ("lshape-1.png", "full-1.png"):
            image = picture(rendering, name).convert("RGB")
            left = image.crop((0, 136, 80, 1080))  # 16 px of a plate's margin stand outside, no text
            assert all(white < 80 * 8 for white, colour in left.getcolors(1 << 16) if colour == (255, 255, 255))
            bottom = image.crop((0, 1080 - 54, 1920, 1080))
            assert len(bottom.getcolors()) == 1


@pytest.mark.parametrize("level", [None, "1", "2", "3", "4", "5"])
def test_each_level_has_its_own_colour_and_a_shape(tmp_path: Path, level: str | None):
    colours = {"5": (12, 0, 12), "4": (170, 0, 170), "3": (255, 40, 0), "2": (242, 231, 0), "1": (255, 255, 255)}
    parameter = tuple(replace(p, value=level or "") for p in order().info[0].parameter if p.value_name == Added.LEVEL)
    image = picture(rendered(Live, order(Live, parameter=parameter), tmp_path), "lshape-1.png").convert("RGB")
    assert image.getpixel((20, 300)) == colours.get(level or "", (12, 0, 12))
    without = picture(rendered(Live, order(Live, parameter=()), tmp_path), "lshape-1.png").convert("RGB")
    differs = ImageChops.difference(image.crop((60, 0, 470, 440)), without.crop((60, 0, 470, 440))).getbbox()
    assert bool(differs) == (level is not None)


def test_a_long_event_and_a_long_list_of_places_are_said_in_full_and_staff_are_told(tmp_path: Path):
    names = [q.names["ja"] for q in load("mitaka").quarters.values()]
    place = "大沢、" + "、".join(names)
    rendering = rendered(Drill, order(event="高齢者等避難および土砂災害警戒情報", area=(Area(place),)), tmp_path)
    assert any("16 字" in f.reason and not f.blocks for f in rendering.findings)
    ja = [t.words for t in rendering.texts if t.language == "ja"]
    assert all("大沢" in words and "【訓練】" in words for words in ja)
    said = "".join("".join(words.splitlines()[1:]) for words in ja).replace("【訓練】", "")
    assert place in said


def test_a_text_of_any_length_is_laid_out_whole_or_refused(tmp_path: Path):
    long = rendered(Drill, order(description="川が あふれます。" * 2000), tmp_path)
    assert any("40 枚を超えます" in f.reason and f.blocks for f in long.findings)
    assert len(long.texts) == 40


def test_dwell_is_four_seconds_at_least_and_a_quarter_second_a_character(tmp_path: Path):
    for page in etree.fromstring(rendered(Drill, order(), tmp_path).part("pages.xml")):
        lines = "".join(line.text for line in page.findall("{*}line"))
        letters = sum(0.5 if c.isascii() else 1 for c in lines if not c.isspace())
        assert float(page.get("dwell-seconds")) == pytest.approx(max(4.0, letters / 4))


# Characters


def test_three_look_alikes_are_put_right_and_nothing_else_is_changed():
    assert for_titler("10～12、－、∥、①髙㈱") == "10〜12、−、‖、①髙㈱"
    assert beyond_titler("髙橋①～－∥ｱ大沢Aé") == ["髙", "①", "ｱ", "é"]


def test_a_character_that_a_titler_lacks_is_named_and_blocks_nothing(tmp_path: Path):
    rendering = rendered(Drill, order(description="髙齢者は早めに。🌊"), tmp_path)
    reasons = [f.reason for f in rendering.findings]
    assert any("髙（U+9AD9）" in r and "文字スーパーにない" in r for r in reasons)
    assert any("🌊" in r and "描けない" in r for r in reasons)
    assert not any(f.blocks for f in rendering.findings)
    assert "髙" in rendering.part("pages.xml").decode()
    assert not rendered(Drill, order(), tmp_path).findings


def test_a_control_character_blocks_and_the_xml_stays_readable(tmp_path: Path):
    rendering = rendered(Drill, order(description="川\x07です"), tmp_path)
    assert any(f.blocks for f in rendering.findings)
    etree.fromstring(rendering.part("pages.xml"))


def test_xml_and_csv_say_the_same_pages_as_the_pictures(tmp_path: Path):
    rendering = rendered(Drill, order(description='川"が", <あふれ>ます & 危険～'), tmp_path)
    root = etree.fromstring(rendering.part("pages.xml"))
    rows = list(csv.DictReader(io.StringIO(rendering.part("pages.csv").decode(), newline="")))
    assert root.get("loops") == "3"
    assert root.get("status") == "Exercise"
    assert len(root) == len(rows) == len(rendering.texts)
    for page, row, text in zip(root, rows, rendering.texts, strict=True):
        lines = [line.text for line in page.findall("{*}line")]
        assert "\n".join(lines) == row["text"]
        assert page.find("{*}head").text == row["head"]
        assert "\n".join([row["head"], row["text"]]) == for_titler(text.words)
        assert page.get("image") == row["image"]
        assert picture(rendering, row["image"]).size == (1920, 1080)
    assert any("<あふれ>ます&危険〜" in "".join(row["text"].split()) for row in rows)


# Handing over


async def test_the_operators_side_gets_every_byte_that_the_manifest_names(rig: TvRig):
    rendering = rig.channel.render(order(), await rig.channel.audience(OSAWA))
    told = await until_taken(rig.channel, rendering, await members(rig.channel))
    assert {t.medium_id for t in told.values()} == {drop_name(rendering)}
    for machine in rig.world.machines:
        manifest = machine.taken[0]
        folder = machine.received / manifest["name"]
        for file in manifest["files"]:
            assert sha256((folder / file["name"]).read_bytes()).hexdigest() == file["sha256"]
            assert (folder / file["name"]).read_bytes() == rendering.part(file["name"])
        assert {"lshape-1.png", "full-1.png", "pages.xml", "pages.csv"} <= {f["name"] for f in manifest["files"]}
    report = rig.world.report()
    assert report["frames"] == 2 * sum(p.name.endswith(".png") for p in rendering.parts)
    assert report["complaints"] == 0


async def test_an_operator_gets_the_forms_of_its_profile_only(rig: TvRig, tmp_path: Path):
    machine = rig.world.machines[0]
    profile = Operator(name=machine.name, drop=machine.drop, forms=("lshape", "csv"), picture=Picture.KEY)
    channel = CableTv(Drill, settings_for(rig.world, operators=(profile,)), surroundings(tmp_path / "profile"))
    rendering = channel.render(order(), await channel.audience(OSAWA))
    await until_taken(channel, rendering, await members(channel))
    names = [file["name"] for file in machine.taken[0]["files"]]
    assert {name.partition("-")[0] for name in names} == {"lshape", "pages.csv"}
    got = (machine.received / machine.taken[0]["name"] / "lshape-1.png").read_bytes()
    assert got == rendering.part("key-lshape-1.png")


async def test_a_frame_that_nobody_fetches_is_not_taken_and_is_when_somebody_does(rig: TvRig, tmp_path: Path):
    channel = CableTv(Drill, settings_for(rig.world, pick_up=0.1), surroundings(tmp_path / "hasty"))
    rig.world.machines[0].manner = Manner.ASLEEP
    rendering = channel.render(order(), await channel.audience(OSAWA))
    to = await members(channel)
    told = {
        t.address: t for t in await attempt(rig.channel, rendering, to[1:]) + await attempt(channel, rendering, to[:1])
    }
    assert told["catv-1"].outcome is Outcome.TEMPORARY
    assert "まだ取りに来ません" in told["catv-1"].words
    assert told["catv-2"].outcome is Outcome.TAKEN
    rig.world.machines[0].manner = Manner.PROMPT
    assert (await until_taken(channel, rendering, to[:1]))["catv-1"].outcome is Outcome.TAKEN
    assert (await rig.tellings(rendering))["catv-1"] == 1


async def test_a_refusal_comes_back_in_the_operators_words(rig: TvRig):
    for machine in rig.world.machines:
        machine.manner = Manner.REFUSING
    rendering = rig.channel.render(order(), await rig.channel.audience(OSAWA))
    told = await attempt(rig.channel, rendering, await members(rig.channel))
    assert {t.outcome for t in told} == {Outcome.PERMANENT}
    assert all("送出設備が停止しています" in t.words for t in told)


async def test_a_receipt_for_something_else_is_not_believed_and_the_message_is_placed_again(rig: TvRig):
    machine = rig.world.machines[0]
    machine.manner = Manner.MISTAKEN
    rendering = rig.channel.render(order(), await rig.channel.audience(OSAWA))
    to = (await members(rig.channel))[:1]
    told = await attempt(rig.channel, rendering, to)
    assert told[0].outcome is Outcome.TEMPORARY
    assert "0000" in told[0].words
    machine.manner = Manner.PROMPT
    assert (await until_taken(rig.channel, rendering, to))["catv-1"].outcome is Outcome.TAKEN


async def test_after_a_restart_what_was_taken_is_a_duplicate_and_is_not_dropped_again(rig: TvRig):
    rendering = rig.channel.render(order(), await rig.channel.audience(OSAWA))
    to = await members(rig.channel)
    await until_taken(rig.channel, rendering, to)
    for machine in rig.world.machines:
        for path in machine.drop.iterdir():  # an operator who tidies up
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    revived = CableTv(Drill, settings_for(rig.world), surroundings(rig.folder / "state"))
    told = await attempt(revived, rendering, to)
    assert {t.outcome for t in told} == {Outcome.DUPLICATE}
    assert not any(list(machine.drop.iterdir()) for machine in rig.world.machines)


async def test_a_crash_while_writing_leaves_nothing_that_an_operator_would_take(rig: TvRig):
    rendering = rig.channel.render(order(), await rig.channel.audience(OSAWA))
    name = drop_name(rendering)
    for machine in rig.world.machines:  # as killed after the folder was renamed, and in the middle of the next try
        for folder in (machine.drop / name, machine.drop / f".{name}.part"):
            folder.mkdir()
            (folder / "lshape-1.png").write_bytes(b"half")
    assert set(await until_taken(rig.channel, rendering, await members(rig.channel))) == {"catv-1", "catv-2"}
    assert not list(rig.world.machines[0].drop.glob(".*"))


async def test_a_retraction_takes_the_earlier_frame_off_the_air_and_out_of_the_folder(rig: TvRig, tmp_path: Path):
    original = order()
    audience = await rig.channel.audience(OSAWA)
    to = await members(rig.channel)
    first = rig.channel.render(original, audience)
    await until_taken(rig.channel, first, to)
    cancel = rig.channel.render(retraction(original), audience)
    await until_taken(rig.channel, cancel, to)
    for machine in rig.world.machines:
        assert list(machine.on_air) == [cancel.identifier]
        assert json.loads((machine.received / "on_air.json").read_text("utf-8")) == {
            cancel.identifier: drop_name(cancel)
        }
        assert not (machine.drop / f"{drop_name(first)}.manifest.json").exists()
        assert not (machine.drop / drop_name(first)).exists()


async def test_a_frame_not_yet_fetched_is_withdrawn_by_its_retraction_and_never_dropped_again(
    rig: TvRig, tmp_path: Path
):
    hasty = CableTv(Drill, settings_for(rig.world, pick_up=0.1), surroundings(tmp_path / "state"))
    original = order()
    audience = await hasty.audience(OSAWA)
    to = await members(hasty)
    for machine in rig.world.machines:
        machine.manner = Manner.ASLEEP
    first = hasty.render(original, audience)
    await attempt(hasty, first, to)
    await attempt(hasty, hasty.render(retraction(original), audience), to)
    told = await attempt(hasty, first, to)
    assert {t.outcome for t in told} == {Outcome.PERMANENT}
    assert all("取り下げました" in t.words for t in told)
    for machine in rig.world.machines:
        machine.manner = Manner.PROMPT
    await until_taken(rig.channel, rig.channel.render(retraction(original), audience), to)
    assert all([t["verb"] for t in machine.taken] == ["retract"] for machine in rig.world.machines)


async def test_an_expired_frame_does_not_stay_in_the_folder_and_what_others_put_there_does(rig: TvRig, tmp_path: Path):
    hasty = CableTv(Drill, settings_for(rig.world, pick_up=0.1), surroundings(tmp_path / "state"))
    machine = rig.world.machines[0]
    machine.manner = Manner.ASLEEP
    audience = await hasty.audience(OSAWA)
    to = (await members(hasty))[:1]
    old = replace(
        order(expires=SENT - timedelta(days=3650)),
        identifier="old",
        info=(order(expires=SENT - timedelta(days=3650)).info[0],),
    )
    (machine.drop / "other.manifest.json").write_text('{"format": "somebody-else/2", "name": "other"}')
    (machine.drop / "broken.manifest.json").write_text("[" * 60000)
    (machine.drop / "other").mkdir()
    await attempt(hasty, hasty.render(old, audience), to)
    await attempt(hasty, hasty.render(order(), audience), to)
    left = sorted(path.name for path in machine.drop.iterdir())
    assert not any(name.startswith("old-") for name in left)
    assert {"other", "other.manifest.json", "broken.manifest.json"} <= set(left)
    assert any(name.startswith("mitaka-") for name in left)


async def test_a_folder_that_takes_no_file_is_temporary_in_the_systems_words_and_leaves_nothing(
    rig: TvRig, tmp_path: Path
):
    blocked = tmp_path / "file"
    blocked.write_text("")  # as a share that turned into something else: nothing can be put below it
    channel = CableTv(
        Drill, settings_for(rig.world, operators=(Operator(name="a", drop=blocked),)), surroundings(tmp_path / "state")
    )
    told = await attempt(channel, channel.render(order(), await channel.audience(OSAWA)), await members(channel))
    assert told[0].outcome is Outcome.TEMPORARY
    assert str(blocked) in told[0].words
    assert not (await channel.probe()).is_up


def test_an_identifier_of_another_house_makes_a_safe_file_name(tmp_path: Path):
    for identifier in ("../../etc/passwd", "urn:oid:2.49.0.1.392/1", "大" * 300, "."):
        name = drop_name(rendered(Drill, replace(order(), identifier=identifier), tmp_path))
        assert name.replace("-", "").replace("_", "").isalnum()
        assert name.isascii()
        assert len(name) < 100


# Settings


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ({"operators": ()}, "operators", "at least one"),
        ({"operators": (Operator(name="a", drop=Path("x")), Operator(name="a", drop=Path("y")))}, "operators", "name"),
        (
            {"operators": (Operator(name="a", drop=Path("x")), Operator(name="b", drop=Path("x")))},
            "operators",
            "folder",
        ),
        ({"languages": ()}, "languages", "language"),
        ({"look_every": 0.0}, "look_every", "pick_up"),
        ({"longest_loop": 0}, "longest_loop", "1 or more"),
        ({"fonts": Path("/nowhere")}, "fonts", "fonts-noto-cjk"),
    ],
)
def test_settings_name_what_is_wrong_with_them(wrong: dict, field: str, reason: str):
    good = {"operators": (Operator(name="a", drop=Path("x")),)}
    assert not list(Settings(**good).problems())
    found = list(Settings(**(good | wrong)).problems())
    assert [where for where, _ in found] == [field]
    assert reason in found[0][1]


def test_an_operators_profile_names_what_is_wrong_with_it():
    assert [where for where, _ in Operator(name="../x", drop=Path("x"), forms=()).problems()] == ["name", "forms"]


def test_no_body_text_is_smaller_than_the_least_size():
    assert BODY_PX == 82
    assert LEAST_PX == 44


@pytest.mark.parametrize(("follow", "word"), [(correction, "訂正"), (lifting, "解除")])
def test_what_follows_an_order_says_so(tmp_path: Path, follow, word: str):
    rendering = rendered(Drill, follow(order()), tmp_path)
    ja = [t.words for t in rendering.texts if t.language == "ja"]
    assert all(word in words.splitlines()[0] for words in ja)
