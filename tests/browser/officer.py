"""One person at a tablet: what they see and press in the console, with its scripts or without them.

Everything is found as a person finds it, by its label or by the words on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from dispatcher.clock import SystemClock
from tests.browser.city import PASSWORD, City

WIDE, NARROW = 1280, 390
HEIGHT = 900
PATIENCE_MS = 20_000
"""Until something that must come has come; two cores, and others at work on them."""
TEMPLATE, AREA, CAUSE = "警戒レベルとことば", "区域を選ぶ", "何が起きているか（日本語）"
MEDIA = ("ケーブルテレビ", "登録メール", "IP 告知端末", "X", "ウェブサイト", "駅前 Wi-Fi")
LOOK_EVERY_MS = 50


@dataclass
class Officer:
    """Somebody with a browser of their own."""

    city: City
    name: str
    context: BrowserContext
    page: Page
    has_script: bool
    complaints: list[str]
    """What the browser itself said against our pages: errors of scripts, refusals of the content security policy."""

    # -- coming in ---------------------------------------------------------------------------------------------------

    def sign_in(self, went_to: str = "/") -> None:
        """By name, password and what the app shows."""
        self.page.goto(self.city.url + went_to)
        self.type_credentials()
        expect(self.page.get_by_role("banner")).to_contain_text(self.name)

    def type_credentials(self) -> None:
        self.page.get_by_label("名前").fill(self.name)
        self.page.get_by_label("合言葉（パスワード）").fill(PASSWORD)
        self.page.get_by_label("認証アプリの6けた").fill(self.city.second_factor(self.name))
        self.press("サインイン")

    # -- moving about ------------------------------------------------------------------------------------------------

    def open(self, path: str) -> None:
        self.page.goto(self.city.url + path)

    def press(self, name: str | re.Pattern[str], within: Locator | None = None) -> None:
        (within or self.page).get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str | re.Pattern[str], within: Locator | None = None) -> None:
        (within or self.page).get_by_role("link", name=name, exact=True).click()

    def main(self) -> Locator:
        return self.page.get_by_role("main")

    def path(self) -> str:
        return self.page.url.removeprefix(self.city.url)

    # -- a message ---------------------------------------------------------------------------------------------------

    def choose_template(self, template: str) -> None:
        self.page.get_by_label(TEMPLATE).select_option(template)

    def choose_area(self, group: str, *, but: tuple[str, ...] = ()) -> None:
        """A 大字 by its button, or all of it but some quarters: by the map where it can be pressed, else by the boxes."""
        self.press(AREA)
        boxes = self.page.locator(f'details[data-group="{group}"]')
        if boxes.get_attribute("open") is None:
            boxes.locator("summary").click()
        self.press(f"{group}の全部")
        if not self.has_script and boxes.get_attribute("open") is None:
            boxes.locator("summary").click()
        for quarter in but:
            if self.has_script:
                self.press_map(quarter)
            else:
                boxes.get_by_label(quarter, exact=True).uncheck()
            expect(boxes.get_by_label(quarter, exact=True)).not_to_be_checked()
        self.press("この区域にする")

    def press_map(self, quarter: str) -> None:
        """The cell of this quarter, in its middle."""
        code = self.page.get_by_label(quarter, exact=True).get_attribute("value")
        self.page.locator(f"#m{code}").click()

    def preview(self) -> None:
        """See what every medium will show: by the button, where no script draws it meanwhile."""
        if not self.has_script:
            self.press("見え方を確かめる")

    def medium(self, title: str) -> Locator:
        """The preview of one medium."""
        return self.page.locator("article.pv").filter(has=self.page.get_by_role("heading", name=title, exact=True))

    def read_and_decide(self, place: str) -> None:
        """Open what waits for a decision about this place, from the list of such things or from the board."""
        self.follow("読んで決める", self.main().locator(".todo").filter(has_text=place))

    def tick_and_press(self, act: str | re.Pattern[str]) -> str:
        """What approving takes: the tick, then the button that names the act. Gives the alert's identifier."""
        self.page.get_by_role("checkbox").first.check()
        self.press(act)
        self.page.wait_for_url(re.compile(r"/alerts/[^/]+$"))
        return self.path().removeprefix("/alerts/")

    def see_all_taken(self) -> None:
        """Stay on the delivery board until every medium has it; without a script read it again, as the page offers."""
        waiting = self.page.locator('tr[data-row]:not([data-state="done"])')
        if self.has_script:
            self.page.evaluate("window.wasNeverLeft = true")
        clock = SystemClock()
        until_s = clock.monotonic() + PATIENCE_MS / 1000
        while waiting.count():
            assert clock.monotonic() < until_s, waiting.all_inner_texts()
            if self.has_script:
                self.page.wait_for_timeout(LOOK_EVERY_MS)
            else:
                self.follow("いま読み直す")
        if self.has_script:
            assert self.page.evaluate("window.wasNeverLeft"), "the board was loaded anew"

    def lines(self) -> Mapping[str, str]:
        """The delivery board: by medium, what stands under 受領 / 宛先."""
        return {
            row.get_by_role("rowheader").inner_text(): row.locator("[data-live$='.taken']").inner_text()
            for row in self.page.locator("tr[data-row]").all()
        }


@contextmanager
def window(browser: Browser, beyond: str, **more: Any) -> Iterator[tuple[BrowserContext, list[str]]]:
    """A browser with nothing of anybody's in it; at the end nothing may have been wrong with our pages.

    `beyond`: how errors begin that are no fault of a page. The list is of all others.
    """
    context = browser.new_context(locale="ja-JP", timezone_id="Asia/Tokyo", **more)
    context.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and not re.match(beyond, message.text):
            complaints.append(message.text)

    context.on("console", hear)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    try:
        yield context, complaints
    finally:
        context.close()
    assert not complaints, complaints


@contextmanager
def officer(
    city: City, browser: Browser, name: str, *, has_script: bool = True, width: int = WIDE, **more: Any
) -> Iterator[Officer]:
    """Somebody before they have signed in, unless `more` brings their cookies."""
    more |= {"java_script_enabled": has_script, "viewport": {"width": width, "height": HEIGHT}}
    # That an answer was a refusal is what a test looks at itself.
    with window(browser, "Failed to load resource", **more) as (context, complaints):
        yield Officer(city, name, context, context.new_page(), has_script, complaints)
