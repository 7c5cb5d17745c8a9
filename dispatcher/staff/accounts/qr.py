"""QR codes for setting up an authenticator app: in a terminal, and as an SVG for a page. The only door to segno.

Source: ISO/IEC 18004; the otpauth:// key URI format of the authenticator apps.
"""

import io

import segno


def in_terminal(text: str) -> str:
    """Half blocks, with the quiet zone that cameras need."""
    drawn = io.StringIO()
    segno.make(text, micro=False, error="m").terminal(drawn, border=2, compact=True)
    return drawn.getvalue()


def as_svg(text: str, *, title: str) -> str:
    """A whole <svg> element, black on white, to stand inline in a page; `title` is what a screen reader says."""
    drawn = io.BytesIO()
    code = segno.make(text, micro=False, error="m")
    code.save(drawn, kind="svg", xmldecl=False, svgns=True, scale=4, border=4, light="#fff", title=title)
    return drawn.getvalue().decode()
