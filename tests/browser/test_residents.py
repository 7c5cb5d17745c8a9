"""A resident's evening, and a nursery's: registered, told, asked, heard; staff see each step on their board.

The mails are those that came to the relay, the pages those of the residents' listener; nothing is looked up in the ledger.

Source: issue "Residents, facilities, and the safety loop", Shows 2.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.city import WELFARE, WRITER, City
from tests.browser.officer import Officer
from tests.browser.resident import Resident, leads_with, resident

AREA = "井の頭"
QUARTER = "井の頭一丁目"
ADDRESS = "resident0001@example.com"


@pytest.fixture
def phone(city: City, chromium: Browser, screens) -> Iterator[Resident]:
    with resident(city, chromium, ADDRESS, screens) as somebody:
        yield somebody


def test_a_resident_registers_is_told_answers_and_leaves(city: City, phone: Resident, sit: Callable[..., Officer]):
    # Registered: the link comes by mail, and opening it changes nothing yet.
    phone.open("/")
    phone.follow("メールで お知らせを受け取る")
    phone.page.get_by_label("メールアドレス").first.fill(ADDRESS)
    phone.page.locator("summary").filter(has_text=AREA).click()
    phone.page.get_by_label(f"{AREA}のすべて").check()
    phone.press("確認のメールを送る")
    leads_with(phone.main(), "メールを送りました")
    entry = phone.mail_with("/m/")
    phone.page.goto(entry)
    leads_with(phone.main(), "")
    phone.picture("register")
    phone.press("この内容で登録する")
    leads_with(phone.main(), "登録しました")

    # Told: the mail's link leads to the alert's page, which opens without a connection afterwards.
    had = len(phone.mails())
    alert = city.issued(AREA)
    phone.page.goto(phone.mail_with(phone.city.stage.site.residents.url, had))
    phone.main().get_by_role("link").filter(has_text=AREA).first.click()
    leads_with(phone.page.locator("body"), "避難")
    expect(phone.page.locator("body")).to_contain_text("訓練")
    phone.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    phone.page.reload()
    phone.page.wait_for_function("navigator.serviceWorker.controller !== null")
    phone.page.reload()
    phone.picture("alert")
    phone.context.set_offline(offline=True)
    phone.page.reload()
    expect(phone.page.locator(".off")).to_contain_text("通信できません")
    leads_with(phone.page.locator("body"), "避難")
    phone.picture("offline")
    phone.context.set_offline(offline=False)

    # Asked by somebody who writes; the welfare officer sees what comes back.
    had = len(phone.mails())
    city.rostered(
        [
            {
                "person_id": "R0001",
                "name": "住民0001",
                "address": f"{QUARTER}1番1号",
                "quarter": city.quarter(QUARTER),
                "mails": ADDRESS,
                "language": "ja",
                "consent": "有",
            }
        ]
    )
    writer, welfare = sit(WRITER), sit(WELFARE)
    writer.open("/safety")
    waiting = writer.main().locator("form.todo").filter(has_text=AREA)
    waiting.get_by_role("button").click()
    writer.press(re.compile(r"の人に安否を尋ねる$"))
    writer.page.wait_for_url(re.compile(r"/safety/[^/]+$"))
    round_page = writer.path()
    welfare.open(round_page)
    see_figures(welfare, {"尋ねた": "1", "返事なし": "1", "けが": "0"})

    # Heard: one tap, durable before the thanks; changed by another tap.
    link = phone.mail_with("/a/", had)
    phone.page.goto(link)
    leads_with(phone.main(), "いま どうですか")
    phone.picture("asked")
    phone.press(re.compile("^けがをしています"))
    leads_with(phone.main(), "届きました")
    phone.picture("thanks")
    welfare.open(round_page)
    see_figures(welfare, {"けが": "1", "返事なし": "0", "無事": "0"})
    phone.press(re.compile("^無事です"))
    expect(phone.main()).to_contain_text("答え：無事です")
    welfare.open(round_page)
    see_figures(welfare, {"けが": "0", "返事なし": "0", "無事": "1"})

    # Looked up: never without a reason, and never by somebody who is not of the role.
    assert writer.page.goto(f"{city.url}{round_page}/search") is not None
    expect(writer.page.locator("body")).not_to_contain_text("住民0001")
    look_up(welfare, round_page, "")
    expect(welfare.main()).to_contain_text("理由")
    expect(welfare.main().get_by_role("link", name=re.compile("住民0001"))).to_have_count(0)
    look_up(welfare, round_page, "安否の照会への対応")
    expect(welfare.main()).to_contain_text("住民0001")

    # Gone: after one press nothing more comes.
    phone.page.goto(entry)
    phone.press("配信をやめる")
    leads_with(phone.main(), "配信をやめました")
    had = len(phone.mails())
    city.corrected(alert)
    assert len(phone.mails()) == had


def test_a_nursery_acknowledges_from_its_mail(city: City, chromium: Browser, screens, sit: Callable[..., Officer]):
    name, address = "見本保育園", "nursery0001@example.com"
    city.found_nursery(name, address, "中原一丁目")
    alert = city.issued("中原")
    writer = sit(WRITER)
    writer.open(f"/alerts/{alert}/facilities")
    waiting = writer.page.locator('table[aria-labelledby="waiting"] tr').filter(has_text=name)
    expect(waiting).to_have_count(1)
    with resident(city, chromium, address, screens) as nursery:
        nursery.page.goto(nursery.mail_with("/k/"))
        expect(nursery.main()).to_contain_text(name)
        writer.page.reload()
        expect(waiting).to_have_count(1)  # reading is no acknowledgement
        nursery.press(re.compile("^この知らせを確認しました"))
        expect(nursery.page.get_by_role("status").filter(has_text="確認を受け取りました")).to_be_visible()
        nursery.picture("facility")
    writer.page.reload()
    done = writer.page.locator('table[aria-labelledby="done"] tr').filter(has_text=name)
    expect(done).to_contain_text("登録メール")


def see_figures(officer: Officer, figures: dict[str, str]) -> None:
    for name, count in figures.items():
        fact = officer.main().locator("dl.facts > div").filter(has=officer.page.get_by_text(name, exact=True)).first
        expect(fact.locator("dd")).to_have_text(count)


def look_up(officer: Officer, round_page: str, reason: str) -> None:
    officer.open(round_page)
    officer.page.get_by_label("名前・住所・電話の一部").fill("住民0001")
    if reason:
        officer.page.get_by_label("見る理由（記録されます）").select_option(label=reason)
    else:
        # A browser would stop it as well; what counts is that the desk does.
        officer.page.get_by_label("見る理由（記録されます）").evaluate("it => it.removeAttribute('required')")
    officer.press("さがす")
