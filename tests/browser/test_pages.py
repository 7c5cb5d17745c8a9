"""Every page of the console: for everybody's use, at a desk and on a tablet held upright, in both languages, over a poor link.

Pictures of each are kept under out/screens/, for people to look at.
"""

import pytest

from tests.browser.city import ADMIN, APPROVER, WRITER
from tests.browser.looking import WORDS, see_it_fits, see_no_violation
from tests.browser.officer import NARROW, WIDE

HEAVIEST_BYTES = 40 * 1024
LOADED = {"document", "stylesheet", "script"}

PAGES = {
    "signin": (None, "/signin"),
    "enrol": (None, "/enrol"),
    "board": (WRITER, "/"),
    "compose": (WRITER, "/compose"),
    "draft": (WRITER, "/drafts/{draft}"),
    "areas": (WRITER, "/areas?area=132040301"),
    "reach": (WRITER, "/drafts/{draft}/reach"),
    "by-hand": (WRITER, "/drafts/{draft}/by-hand"),
    "approvals": (APPROVER, "/approve"),
    "approve": (APPROVER, "/drafts/{pending}/approve"),
    "alerts": (APPROVER, "/alerts"),
    "delivery": (APPROVER, "/alerts/{alert}"),
    "destinations": (APPROVER, "/alerts/{alert}/destinations?kind=ip_terminal&show=all"),
    "retract": (APPROVER, "/alerts/{alert}/retract"),
    "progress": (WRITER, "/progress?of={alert}"),
    "admin": (ADMIN, "/admin"),
    "own": (ADMIN, "/own"),
    "nowhere": (WRITER, "/nowhere"),
}


@pytest.fixture(scope="module")
def night(city):
    """Something of each kind to look at: a draft, a submission, an alert that is out; by identifier."""
    return {"draft": city.drafted("野崎"), "pending": city.pending("新川"), "alert": city.issued("中原")}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_for_everybody_and_light(name, night, sit, stranger, screens):
    who, path = PAGES[name]
    officer = stranger(WRITER) if who is None else sit(who)
    page, loaded = officer.page, []
    page.on("requestfinished", lambda request: loaded.append(request) if request.resource_type in LOADED else None)
    officer.open(path.format(**night))
    assert (
        sum(request.sizes()["responseBodySize"] for request in loaded if request.frame == page.main_frame)
        <= HEAVIEST_BYTES
    )
    see_no_violation(page)
    see_it_fits(page, screens / name, (WIDE, NARROW))
    separator = "&" if "?" in path else "?"
    officer.open(path.format(**night) + f"{separator}lang=en")
    assert page.locator("html").get_attribute("lang") == "en"
    see_no_violation(page, runOnly={"type": "tag", "values": WORDS})
