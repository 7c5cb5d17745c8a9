"""The pages of registered mail: for everybody's use, in five languages, on a phone and on a desk, without a script."""

import asyncio
import threading

import pytest
import uvloop

from config.words import LANGUAGES
from tests.browser.officer import HEIGHT, WIDE
from tests.browser.test_answering import PHONE
from tests.browser.test_pages import keep_picture, see_no_violation
from tests.dispatcher.residents.test_registration import FORM, a_city

ALL = (
    *((page, language) for page in ("ask", "open") for language in LANGUAGES),
    *((p, "ja") for p in ("mend", "sent", "gone")),
)
FOR_LOOKING_AT = ("ja", "ja-x-easy", "en")


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """The listener and the relay on a loop of their own (the browser's has another one), and a link that came by mail."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="city")
    thread.start()

    def run(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    opened = a_city(tmp_path_factory.mktemp("city"))
    made = run(opened.__aenter__())
    run(made.post("/mail", **FORM))
    yield str(made.session._base_url).rstrip("/"), run(made.link_to(FORM["address"]))
    run(opened.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


@pytest.fixture(scope="module")
def phone(chromium):
    with chromium.new_context(viewport={"width": PHONE, "height": HEIGHT}) as context:
        yield context.new_page()


def reached(page, city, name, language):
    """This page, by the way that people take to it."""
    url, link = city
    page.set_viewport_size({"width": PHONE, "height": HEIGHT})
    page.goto(f"{url}{link if name == 'open' else '/m/none' if name == 'gone' else '/mail'}?lang={language}")
    if name in {"mend", "sent"}:
        page.fill("#address", "か@example.jp" if name == "mend" else "another@example.jp")
        if name == "sent":
            page.check('input[name="all"]')
        page.click('button[value="new"]')


@pytest.mark.parametrize(("name", "language"), ALL)
def test_a_page_of_registered_mail_is_for_everybody(name, language, phone, city, screens):
    reached(phone, city, name, language)
    assert phone.locator("html").get_attribute("lang") == language
    phone.evaluate("document.querySelectorAll('details').forEach((d, n) => d.open = n < 2)")
    see_no_violation(phone)
    small = phone.evaluate(
        "[...document.querySelectorAll('button, summary, input:not([type=hidden]), select')].filter(e => e.checkVisibility())"
        ".filter(e => Math.max(e.getBoundingClientRect().height, e.closest('label')?.getBoundingClientRect().height ?? 0) < 44)"
        ".map(e => e.outerHTML)"
    )
    assert small == []
    for width in (PHONE, WIDE):
        phone.set_viewport_size({"width": width, "height": HEIGHT})
        if language in FOR_LOOKING_AT:
            keep_picture(phone, screens / f"mail-{name}-{language}-{width}.png")
        assert phone.evaluate("document.scrollingElement.scrollWidth") <= width


def test_signing_up_and_leaving_need_no_script(chromium, city):
    url, link = city
    with chromium.new_context(viewport={"width": PHONE, "height": HEIGHT}, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(url + link)
        page.click('button[value="save"]')
        assert "登録しました" in page.inner_text("h1")
        page.goto(url + link)
        assert page.is_checked('input[name="q-132040301"]')
        page.click('button[value="leave"]')
        assert "配信をやめました" in page.inner_text("h1")
