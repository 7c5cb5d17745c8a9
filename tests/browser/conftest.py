"""One city and one browser for all of these tests; each test has its own windows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.city import City
from tests.browser.officer import HEIGHT, NARROW, PATIENCE_MS, Officer, officer
from tests.servers.chromium import CHROMIUM

FLAGS = (
    "--no-sandbox",  # containers offer no user namespaces; it loads our own pages from loopback only
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="package")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    made = City(tmp_path_factory.mktemp("city"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def phone(chromium: Browser) -> Iterator[Page]:
    """A page as wide as a phone."""
    with chromium.new_context(viewport={"width": NARROW, "height": HEIGHT}) as context:
        yield context.new_page()


@pytest.fixture(scope="package")
def kept() -> dict[str, Any]:
    """By name, the cookies of who has signed in once: a code is used once, and not every test is about signing in."""
    return {}


@pytest.fixture
def sit(city: City, chromium: Browser, kept: dict[str, Any]) -> Iterator[Callable[..., Officer]]:
    """`sit(name, …)`: this person, signed in, in a window of their own until the test ends."""
    with ExitStack() as windows:

        def sits(name: str, **more: Any) -> Officer:
            if name not in kept:
                with officer(city, chromium, name) as first:
                    first.sign_in()
                    kept[name] = first.context.storage_state()
            return windows.enter_context(officer(city, chromium, name, storage_state=kept[name], **more))

        yield sits


@pytest.fixture
def stranger(city: City, chromium: Browser) -> Iterator[Callable[..., Officer]]:
    """`stranger(name, …)`: this person before they have signed in."""
    with ExitStack() as windows:
        yield lambda name, **more: windows.enter_context(officer(city, chromium, name, **more))


@pytest.fixture(scope="session")
def screens() -> Path:
    """Where the pictures of the pages are kept, for people to look at."""
    folder = Path("out/screens")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
