"""A night at headquarters, through the console alone: an order is written, approved, watched, corrected and lifted; a wrong one is taken back.

Each with the pages' scripts and without them. What counts is what the receivers of the six media got.
"""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.city import APPROVER, WRITER
from tests.browser.officer import CAUSE, MEDIA
from tests.browser.received import received, see_received

DRILL_MARKS = ("【訓練】", "[DRILL]", "【演习】", "【훈련】", "<status>Exercise</status>")
WITH, WITHOUT = "with scripts", "without scripts"


@pytest.mark.parametrize(
    ("has_script", "group", "river"),
    [pytest.param(True, "大沢", "野川", id=WITH), pytest.param(False, "牟礼", "玉川上水", id=WITHOUT)],
)
def test_an_order_goes_out_to_six_media_and_is_corrected_and_lifted(city, stranger, has_script, group, river):
    writer, approver = stranger(WRITER, has_script=has_script), stranger(APPROVER, has_script=has_script)
    spared = f"{group}二丁目"
    numbers = "一二三四五六七"[: 6 if group == "大沢" else 7]
    quarters = {f"{group}{n}丁目" for n in numbers} - {spared}
    cause, mended = f"{river}の水位が上がり、あふれるおそれがあります", f"{river}の下流で水位が上がっています"

    # 作成: level, cause, area by map and boxes; beside it what each medium will show.
    writer.sign_in()
    writer.follow("発表を作成")
    writer.choose_template("evacuation-order")
    writer.page.get_by_label(CAUSE).fill(cause)
    writer.choose_area(group, but=(spared,))
    expect(writer.page.get_by_label(CAUSE)).to_have_value(cause)
    see_previews(writer, cause)
    writer.press("承認へ提出")

    # Who wrote it cannot send it.
    expect(writer.page).to_have_url(re.compile(r"/drafts/[^/]+/approve$"))
    expect(writer.main()).to_contain_text("だれもいないとき")
    expect(writer.page.get_by_role("button", name=re.compile("^訓練：.*へ避難指示を発表$"))).to_have_count(0)

    # 承認, by somebody else in another browser.
    approver.sign_in()
    approver.follow("承認", approver.page.get_by_role("navigation"))
    approver.read_and_decide(group)
    difference = approver.page.locator("table.diff")
    expect(difference).to_contain_text(cause)
    expect(difference).not_to_contain_text(spared)
    expect(approver.main()).to_contain_text("名前で届く宛先は")
    issued = approver.tick_and_press(f"訓練：{group}{len(quarters)}町丁目へ避難指示を発表")
    approver.see_all_taken()
    assert approver.lines().keys() == set(MEDIA)
    see_received(city, quarters, lambda words: cause in words)

    # 訂正, by one person, with the difference to what went out.
    writer.open(f"/alerts/{issued}")
    writer.follow("訂正", writer.main())
    writer.page.get_by_label("何が誤りだったか").fill("水位が上がっている所を誤りました")
    writer.page.get_by_label(CAUSE).fill(mended)
    writer.press("訂正の確認へ")
    difference = writer.page.locator("table.diff")
    expect(difference.locator("ins").filter(has_text="下流")).to_have_count(1)
    expect(difference.locator("del").filter(has_text="あふれる")).to_have_count(1)
    corrected = writer.tick_and_press(f"訓練：{group}{len(quarters)}町丁目の避難指示を訂正")
    writer.see_all_taken()
    see_received(city, quarters, lambda words: mended in words)

    # 解除, by two.
    writer.follow("解除", writer.main())
    writer.press("承認へ提出")
    expect(writer.page).to_have_url(re.compile(r"/drafts/[^/]+/approve$"))
    approver.open(f"/alerts/{corrected}")
    approver.follow("承認", approver.page.get_by_role("navigation"))
    approver.read_and_decide(group)
    lifted = approver.tick_and_press(re.compile(rf"^訓練：{group}{len(quarters)}町丁目の.*解除$"))
    approver.see_all_taken()
    see_received(city, quarters, lambda words: group in words and "避難指示を解除" in words)

    approver.open("/")
    expect(approver.page.locator("article.alert").filter(has_text=f"{group}一丁目")).to_have_count(1)
    expect(approver.page.locator("article.alert").filter(has_text=f"{group}一丁目")).to_contain_text("避難指示 解除")
    assert len({issued, corrected, lifted}) == 3
    for kind, items in received(city).items():
        assert all(any(mark in item.words for mark in DRILL_MARKS) for item in items), kind


def see_previews(officer, cause):
    """Each medium's own drawing of these words."""
    officer.preview()
    for title in MEDIA:
        expect(officer.medium(title)).not_to_contain_text("ひな形と区域を選ぶと出ます")
    frame = officer.medium("ケーブルテレビ").get_by_role("img").first
    drawn = officer.page.request.get(officer.city.url + frame.get_attribute("src"))
    assert drawn.headers["content-type"] == "image/png"
    assert drawn.body().startswith(b"\x89PNG")
    for title in ("登録メール", "IP 告知端末", "X"):
        expect(officer.medium(title)).to_contain_text(cause)
    for title in ("ウェブサイト", "駅前 Wi-Fi"):
        page = officer.medium(title).locator("iframe").first.get_attribute("src")
        assert cause in officer.page.request.get(officer.city.url + page).text()


@pytest.mark.parametrize(
    ("has_script", "group", "count"),
    [pytest.param(True, "井の頭", 5, id=WITH), pytest.param(False, "北野", 4, id=WITHOUT)],
)
def test_a_wrong_order_is_taken_back_by_one_person_on_every_medium(city, sit, has_script, group, count):
    writer, approver = sit(WRITER, has_script=has_script), sit(APPROVER, has_script=has_script)
    quarters = {f"{group}{n}丁目" for n in "一二三四五"[:count]}
    writer.open("/compose")
    writer.choose_template("evacuation-order")
    writer.choose_area(group)
    writer.press("承認へ提出")
    approver.open("/")
    approver.read_and_decide(group)
    wrong = approver.tick_and_press(f"訓練：{group}{count}町丁目へ避難指示を発表")
    approver.see_all_taken()
    see_received(city, quarters, lambda words: group in words)

    # The bar is on the board as well; it opens the confirmation and sends nothing by itself.
    writer.open(f"/alerts/{wrong}")
    writer.follow(re.compile("^取消の確認へ"), writer.page.get_by_role("complementary", name="取消"))
    expect(writer.main()).to_contain_text("まだ何も送っていません")
    writer.page.get_by_label("何が誤りだったか").fill("区域を取り違えました")
    writer.press(f"訓練：{group}{count}町丁目の避難指示を取消")
    writer.page.wait_for_url(re.compile(rf"/alerts/(?!{wrong})[^/]+$"))
    writer.see_all_taken()
    see_received(city, quarters, lambda words: group in words and "取消" in words)
