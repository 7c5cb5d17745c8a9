"""The pages of registered mail: for everybody's use, in five languages, on a phone and on a desk, without a script."""

import pytest

from config.words import LANGUAGES
from tests.browser.looking import see_it_fits, see_no_violation, see_thumbs_can_press
from tests.browser.officer import HEIGHT, NARROW
from tests.dispatcher.residents.test_registration import FORM, a_city
from tests.servers.beside import beside

ALL = (
    *((page, language) for page in ("ask", "open") for language in LANGUAGES),
    *((p, "ja") for p in ("mend", "sent", "gone")),
)
FOR_LOOKING_AT = ("ja", "ja-x-easy", "en")


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """The listener and the relay on a loop of their own (the browser's has another one), and a link that came by mail."""
    with beside("city") as run:
        opened = a_city(tmp_path_factory.mktemp("city"))
        made = run(opened.__aenter__())
        run(made.post("/mail", **FORM))
        yield str(made.session._base_url).rstrip("/"), run(made.link_to(FORM["address"]))
        run(opened.__aexit__(None, None, None))


def reached(page, city, name, language):
    """This page, by the way that people take to it."""
    url, link = city
    page.set_viewport_size({"width": NARROW, "height": HEIGHT})
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
    see_thumbs_can_press(phone)
    see_it_fits(phone, screens / f"mail-{name}-{language}" if language in FOR_LOOKING_AT else None)


def test_signing_up_and_leaving_need_no_script(chromium, city):
    url, link = city
    with chromium.new_context(viewport={"width": NARROW, "height": HEIGHT}, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(url + link)
        page.click('button[value="save"]')
        assert "登録しました" in page.inner_text("h1")
        page.goto(url + link)
        assert page.is_checked('input[name="q-132040301"]')
        page.click('button[value="leave"]')
        assert "配信をやめました" in page.inner_text("h1")
