"""Without a mouse: an approval by Tab, Space and Enter alone; no single key sends anything; what moves on a page never moves the focus."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.city import APPROVER, WRITER

MOST_TABS = 80
KEYS = (*"abcdefghijklmnopqrstuvwxyz0123456789", "Enter", "Space", "Escape", "Delete", "Backspace", "Home", "F1", "F9")


def tab_to(officer, wanted):
    """Press Tab until it has the focus, and make sure at each stop that a person sees where they are."""
    for _ in range(MOST_TABS):
        officer.page.keyboard.press("Tab")
        assert officer.page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none' || document.activeElement === document.body"
        ), officer.page.evaluate("document.activeElement.outerHTML")
        if wanted.evaluate("wanted => wanted === document.activeElement"):
            return
    raise AssertionError(f"not reached by {MOST_TABS} Tabs: {wanted}")


def test_an_approval_takes_nothing_but_the_keyboard(city, sit):
    city.pending("井口")
    officer = sit(APPROVER)
    officer.open("/")
    officer.page.keyboard.press("Tab")
    expect(officer.page.get_by_role("link", name="本文へ")).to_be_focused()
    officer.page.keyboard.press("Enter")
    tab_to(officer, officer.main().get_by_role("link", name="読んで決める").first)
    officer.page.keyboard.press("Enter")
    expect(officer.page).to_have_url(re.compile("/approve$"))
    tab_to(officer, officer.page.get_by_role("checkbox", name=re.compile("声に出して読みました")).first)
    officer.page.keyboard.press("Space")
    # Enter on the tick is not the button.
    officer.page.keyboard.press("Enter")
    tab_to(officer, officer.page.get_by_role("button", name="訓練：井口5町丁目へ避難指示を発表", exact=True))
    officer.page.keyboard.press("Enter")
    officer.page.wait_for_url(re.compile(r"/alerts/[^/]+$"))


@pytest.fixture(scope="module")
def night(city):
    """A submission and an alert that is out; by identifier."""
    return {"pending": city.pending("深大寺"), "alert": city.issued("下連雀")}


@pytest.mark.parametrize("path", ["/", "/drafts/{pending}/approve", "/alerts/{alert}", "/alerts/{alert}/retract"])
def test_no_single_key_sends_anything(city, sit, night, path):
    before = city.alerts()
    officer = sit(APPROVER)
    asked = []
    officer.page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    officer.open(path.format(**night))
    boxes = officer.page.get_by_role("checkbox")
    if boxes.count():
        boxes.first.check()
    # From the page itself, and from within every field of a form that sends.
    fields = officer.main().locator("input:not([type=hidden]):visible, select:visible")
    for place in (None, *range(fields.count())):
        for key in KEYS if place is None else ("Enter",):
            if place is not None:
                fields.nth(place).focus()
            officer.page.keyboard.press(key)
    officer.open("/")
    assert [one for one in asked if one.startswith("POST")] == []
    assert city.alerts() == before


def test_a_live_page_never_moves_the_focus(city, sit):
    city.pending("上連雀一丁目")
    officer = sit(APPROVER)
    officer.open("/")
    drafts = officer.page.locator('[data-live="drafts"]')
    count = drafts.locator("tbody tr").count()
    held = officer.main().get_by_role("link", name="読んで決める").first
    held.focus()
    officer.page.evaluate("window.held = document.activeElement")
    city.pending("上連雀二丁目")
    expect(drafts.locator("tbody tr")).to_have_count(count + 1)
    assert officer.page.evaluate("window.held === document.activeElement && window.held.isConnected")
    # Let go, and what had waited behind it comes.
    held.evaluate("link => link.blur()")
    expect(officer.page.locator('[data-live="mine"]')).to_contain_text("上連雀二丁目")
    assert officer.page.evaluate("document.activeElement === document.body")


def test_an_alert_is_told_to_a_screen_reader_in_one_sentence(city, sit):
    officer = sit(WRITER)
    officer.open(f"/alerts/{city.issued('上連雀')}")
    expect(officer.page.get_by_role("status").filter(has_text="6媒体のうち6媒体で受領")).to_have_count(1)
