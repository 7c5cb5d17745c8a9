"""The pages on which residents answer, and the station's own: for everybody's use, in five languages, on a phone and on a desk."""

from contextlib import asynccontextmanager

import pytest

from config.cities import load
from config.words import LANGUAGES
from dispatcher import residents
from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.model.mode import Drill
from dispatcher.residents import reply, report
from dispatcher.residents.page import Pages
from multicast.forwarding import Forwarder
from multicast.phones import Phones, Post, serving
from multicast.sealing import AnswerKey, Sealer
from multicast.spool import Spool
from tests.browser.looking import WORDS, see_it_fits, see_no_violation, see_thumbs_can_press
from tests.browser.officer import HEIGHT, NARROW
from tests.dispatcher.residents.loop import GOOD, NAME, RELATIVE, WATCH, Loop
from tests.servers.beside import beside

DRAWN = ("ja", "ja-x-easy")
"""The one with the longest lines, and the one with readings over them."""
LONG = "あ" * 400
SEEN = {
    "answer": (f"/a/{GOOD}", None),
    "answer-relative": (f"/a/{RELATIVE}", None),
    "answer-watch": (f"/a/{WATCH}", None),
    "answer-gone": ("/a/none", None),
    "answer-thanks": (f"/a/{GOOD}", {"press": "help"}),
    "answer-thanks-relative": (f"/a/{RELATIVE}", {"press": "ok"}),
    "report": ("/report", None),
    "report-other": ("/report?about=other", None),
    "report-mend": (
        "/report?about=other",
        {"name": NAME, "birth": "1950-13-45", "phone": "なし", "note": LONG, "press": "help"},
    ),
    "report-thanks": ("/report", {"name": NAME, "press": "ok"}),
    "station": ("station:/report", None),
    "station-mend": ("station:/report", {"name": NAME, "note": LONG, "press": "hurt"}),
    "station-kept": ("station:/report", {"name": NAME, "press": "help"}),
    "station-none": ("station:/", None),
}


@asynccontextmanager
async def both(folder):
    clock = SystemClock()
    pages, loop = Pages(load("mitaka"), Drill), Loop(clock)
    routes = [*reply.routes(loop, pages, clock), *report.routes(loop, pages, clock)]
    forwarder = Forwarder(spool=Spool(folder), url="http://127.0.0.1:9", secret="", every_s=60)
    post = Post(Sealer(AnswerKey.generate().public), forwarder, lambda: clock.now().timestamp())
    async with (
        listening(residents.application(routes, None), "127.0.0.1", 0) as (_, port),
        serving(Phones(list, is_drill=True).application(post), "127.0.0.1", 0) as (_, station),
    ):
        yield {"": f"http://127.0.0.1:{port}", "station": f"http://127.0.0.1:{station}"}


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    """Where the residents' doors are and the station's, on a loop of their own: the browser's has another one."""
    with beside("doors") as run:
        opened = both(tmp_path_factory.mktemp("station"))
        yield run(opened.__aenter__())
        run(opened.__aexit__(None, None, None))


def reached(page, doors, name, language):
    """This page, by the way that people take to it."""
    path, doing = SEEN[name]
    door, _, path = path.rpartition(":")
    page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    page.goto(f"{doors[door]}{path}{'&' if '?' in path else '?'}lang={language}")
    if doing:
        # What a browser would hold back is what an older one sends.
        page.evaluate("document.querySelectorAll('[maxlength]').forEach(e => e.removeAttribute('maxlength'))")
        for field, typed in doing.items():
            if field != "press":
                page.fill(f"#{field}", typed)
        page.click(f'button[value="{doing["press"]}"]')


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", SEEN)
def test_a_residents_page_is_for_everybody(name, language, phone, doors, screens):
    reached(phone, doors, name, language)
    assert phone.locator("html").get_attribute("lang") == language
    # In every language by what it can change, in two of them by everything.
    see_no_violation(phone, **({} if language in DRAWN else {"runOnly": {"type": "tag", "values": WORDS}}))
    see_thumbs_can_press(phone)
    see_it_fits(phone, screens / f"residents-{name}-{language}" if language in DRAWN else None)


def test_an_answer_needs_no_script(chromium, doors):
    with chromium.new_context(viewport={"width": NARROW, "height": HEIGHT}, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{doors['']}/a/{GOOD}")
        page.click('button[value="hurt"]')
        assert "届きました" in page.inner_text("h1")
        page.check('input[value="family"]')
        page.fill("#where", "第一小学校")
        page.click("button.send")
        assert "くわしいことも届きました" in page.inner_text("main")
        page.click('button[value="ok"]')
        assert "無事です" in page.inner_text(".got")


def test_an_answer_is_given_by_keys_alone(phone, doors):
    phone.goto(f"{doors['']}/a/{GOOD}?lang=ja")
    for _ in range(20):
        phone.keyboard.press("Tab")
        if phone.evaluate("document.activeElement.value") == "help":
            break
    phone.keyboard.press("Enter")
    phone.wait_for_selector(".got")
    assert "助けてください" in phone.inner_text(".got")
