"""What a relay answers, read line by line out of whatever bytes come.

Apart from the session, because it alone meets bytes of others: what is no reply of SMTP, or has no end, is refused here.

Source: RFC 5321 §4.2, §4.5.3.1.5.
"""

from collections.abc import Iterator
from typing import Final

LONGEST_LINE_BYTES: Final = 8_192
MOST_LINES: Final = 64
MOST_WORDS: Final = 500

Reply = tuple[int, str]
"""The code, and the words of all lines."""


class Garbled(ValueError):  # noqa: N818 - says what was seen
    """No reply of SMTP."""


class Replies:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._half = b""
        self._lines: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that are complete with this.

        Raises:
            Garbled: nothing more can be read.
        """
        lines = (self._half + data).split(b"\n")
        self._half = lines.pop()
        for line in lines:
            if len(line) > LONGEST_LINE_BYTES:
                raise Garbled("a line without end")
            if (reply := self._line(line.rstrip(b"\r"))) is not None:
                yield reply
        if len(self._half) > LONGEST_LINE_BYTES:
            raise Garbled("a line without end")

    def _line(self, line: bytes) -> Reply | None:
        if not line[:3].isdigit() or len(line) < 3 or line[3:4] not in {b" ", b"-", b""}:
            raise Garbled("no reply of SMTP")
        self._lines.append(line[4:])
        if line[3:4] == b"-":
            if len(self._lines) > MOST_LINES:
                raise Garbled("a reply without end")
            return None
        words = b" ".join(self._lines).decode("utf-8", "replace")[:MOST_WORDS]
        self._lines.clear()
        return int(line[:3]), words
