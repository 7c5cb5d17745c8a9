"""Names, notes and words that are programs: from the roster, from the telephone, from PFIF; on every page, sheet and export they are words."""

import gzip
import io

from PIL import Image

from dispatcher.cap.document import outline
from dispatcher.model.campaign import Answer
from dispatcher.model.report import Reported
from dispatcher.staff.photo import redrawn
from dispatcher.staff.sessions import Person
from dispatcher.staff.welfare import Said
from dispatcher.tracking.caring import Wish
from tests.servers.console import APPROVER, WRITER, console, until
from tests.servers.residents import ALSO

PROGRAM = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
WELFARE = Person("職員0007", ("welfare",))
QUARTER = "132040301"
HEAD = "宛名番号,氏名,フリガナ,住所,電話,備考,区分,閲覧制限\n"


def csv(*rows):
    quoted = PROGRAM.replace('"', '""')
    return (
        HEAD
        + "".join(
            f'{row[0]},"{row[1]}{quoted}","{quoted}","大沢1-6-18{quoted}",,"{quoted}",needs_help,{row[2]}\n'
            for row in rows
        )
    ).encode()


async def asked(room):
    """A round of a roster that is full of programs, with one of everything that is heard; its id."""
    desk, loop = room.node.desk, room.node.confirmation
    data = csv(("R1", "住民0001", ""), ("R2", "住民0002", ""), ("R3", "住民0003", "有"))
    await desk.import_roster(WELFARE, data, (await desk.check_roster(WELFARE, data)).fingerprint)
    campaign = await loop.start(WRITER, about="", quarters=[QUARTER], kind="safety")

    async def everybody():
        found = [one async for one in loop.people(campaign, Wish())]
        return found if len(found) == 3 else None

    people = {one.name[:6]: one.id for one in await until(everybody, "everybody is written down")}
    await desk.answer_for(WELFARE, campaign, people["住民0001"], Said("help", "relative", saw=False, text=PROGRAM))
    report = Reported(
        "r1", Answer.HURT, False, "website", room.node.path.clock.now(), PROGRAM, details={"note": PROGRAM}
    )
    await loop.answering.report(report)
    await desk.write_report(await room.person(WRITER), text=PROGRAM, place=PROGRAM, source=PROGRAM, at="")
    await desk.save_area(await room.person(WRITER), "区域<script>alert(1)</script>", [QUARTER])
    return campaign, people


async def test_a_name_that_is_a_program_is_a_name_on_every_page_and_in_every_export(tmp_path):
    key = tmp_path / "safety"
    key.write_text("the site's key of thirty-two letters")
    key.chmod(0o600)
    async with (
        console(tmp_path, also=ALSO, safety={"key": {"file": str(key)}}) as room,
        room.signed_in(APPROVER) as browser,
    ):
        campaign, people = await asked(room)
        here = f"/safety/{campaign}"
        sheets = (
            "",
            "/visits",
            "/supporters",
            "/sealed",
            "/reports",
            f"/people/{people['住民0001']}",
            f"/people/{people['住民0003']}",
        )
        shown = [await browser.get(here + sheet) for sheet in sheets]
        seal = {"_seal": shown[0].form("/signout")["_seal"]}
        shown.append(await browser.post(f"{here}/search", {**seal, "_words": "住民0002", "reason": "inquiry"}))
        shown.append(await browser.post(f"{here}/search", {**seal, "_words": PROGRAM[:60], "reason": PROGRAM}))
        shown += [
            await browser.get(path) for path in ("/progress", "/progress?all=1", "/areas", "/compose", "/", "/safety")
        ]
        for page in shown:
            assert page.status in {200, 422}
            assert not page.tree.xpath("//script[not(@src)] | //@*[starts-with(name(), 'on')] | //img[@src='x']"), (
                page.url
            )
        assert sum("<script>alert(1)</script>" in page.words for page in shown) >= 9
        given = await room.node.desk.export_pfif(WELFARE, campaign, reason="handover")
        names = [one.get("full_name") for one in outline(gzip.decompress(given)).all("person")]
        assert sorted(name[:6] for name in names) == ["住民0001", "住民0002"]
        assert all(PROGRAM in name for name in names)


async def test_a_picture_that_is_also_something_else_is_kept_as_a_picture_alone():
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "JPEG", comment=b"<script>alert(1)</script>")
    photo = await redrawn(out.getvalue() + b"PK\x03\x04<html><script>alert(2)</script>")
    assert b"<script>" not in photo.jpeg
    assert b"PK\x03\x04" not in photo.jpeg
