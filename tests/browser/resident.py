"""One resident at a phone: what they see and press on the city's site and behind the links in their mail.

Source: issue "Residents, facilities, and the safety loop", Shows 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from dispatcher.clock import SystemClock
from tests.browser.city import City
from tests.browser.officer import HEIGHT, NARROW, PATIENCE_MS, window
from tests.servers.mailbox import text

LOOK_EVERY_S = 0.05


@dataclass
class Resident:
    """Somebody with a phone, and a mailbox behind the city's relay."""

    city: City
    address: str
    context: BrowserContext
    page: Page
    screens: Path
    complaints: list[str]
    """What the browser itself said against our pages."""

    def open(self, path: str) -> None:
        self.page.goto(self.city.stage.site.residents.url + path)

    def press(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("button", name=name).click()

    def follow(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("link", name=name).first.click()

    def main(self) -> Locator:
        return self.page.get_by_role("main")

    def mail_with(self, link: str, after: int = 0) -> str:
        """The first link that has this in it, in a mail that this person got, the first `after` mails of theirs left aside; waits for it."""
        found = re.compile(rf"(?:https?://\S+)?{re.escape(link)}\S*")
        clock = SystemClock()
        until_s = clock.monotonic() + PATIENCE_MS / 1000
        while clock.monotonic() < until_s:
            for mail in self.mails()[after:]:
                if match := found.search(mail):
                    return match[0]
            self.page.wait_for_timeout(LOOK_EVERY_S * 1000)
        raise AssertionError(f"no mail with {link} among: {self.mails()[after:]}")

    def mails(self) -> list[str]:
        """The text of each mail that came, oldest first."""
        world = self.city.worlds["email_list"]
        return [text(mail) for mail in list(world.mails) if mail.recipients[0] == self.address]

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.screens / f"resident-{name}-{NARROW}.png", full_page=True)


@contextmanager
def resident(city: City, browser: Browser, address: str, screens: Path) -> Iterator[Resident]:
    # That there is no connection is what one of the tests is about.
    beyond = "Failed to load resource|.*ERR_INTERNET_DISCONNECTED"
    with window(browser, beyond, viewport={"width": NARROW, "height": HEIGHT}, has_touch=True) as (context, complaints):
        yield Resident(city, address, context, context.new_page(), screens, complaints)


def leads_with(where: Locator, words: str) -> None:
    """Nothing but these words stands in the page's heading."""
    expect(where.get_by_role("heading", level=1)).to_contain_text(words)
