"""How a page is looked at: by axe-core, at a phone's width and a desk's, with a picture of it for people."""

from axe_playwright_python.sync_playwright import Axe

from tests.browser.officer import HEIGHT, NARROW, WIDE

HIGHEST = 9000
"""Pixels of a picture."""
WORDS = ["cat.name-role-value", "cat.language", "cat.forms", "cat.structure", "cat.text-alternatives"]
"""axe-core's rules about what things are called: all that another language can change."""
THUMB = 44
"""Pixels that a thumb finds (WCAG 2.2, 2.5.5; 2.5.8 asks for 24)."""


def keep_picture(page, path):
    """All of the page at once: on a screen as high as it, so that its sticky bars stand where they end up."""
    height = page.evaluate("document.scrollingElement.scrollHeight")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": min(height, HIGHEST)})
    page.screenshot(path=path)


def see_no_violation(page, **options):
    """axe-core's judgement of what the browser has drawn."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    assert not found, "\n".join(
        f"{rule['id']}: {rule['help']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    )


def see_it_fits(page, picture=None, widths=(NARROW, WIDE)):
    """At neither width anything stands out at the side. `picture`: where it is kept, its name ending in the width."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        if picture:
            keep_picture(page, picture.with_name(f"{picture.name}-{width}.png"))
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def see_thumbs_can_press(page):
    """What is there to press, or the label around it, is as high as a thumb is wide."""
    small = page.evaluate(
        "[...document.querySelectorAll('button, summary, input:not([type=hidden]), select, textarea')]"
        ".filter(e => e.checkVisibility())"
        ".filter(e => Math.max(e.getBoundingClientRect().height, e.closest('label')?.getBoundingClientRect().height ?? 0)"
        f" < {THUMB}).map(e => e.outerHTML)"
    )
    assert small == []
