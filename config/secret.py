"""A secret that cannot be printed by mistake.

The site file never holds one: it says where it stands, `{file: keys/x}` or `{env: X_TOKEN}`. Whatever prints, logs or
pickles a Secret gets stars; the one who needs it calls `reveal()`.
"""

from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn

from config.former import Former


class Secret:
    """Text that only `reveal()` gives away."""

    __slots__ = ("_text", "formers", "path", "source")

    def __init__(
        self, text: str, source: str = "memory", path: Path | None = None, formers: tuple[Former, ...] = ()
    ) -> None:
        self._text: Final = text
        self.source: Final = source
        """Where it came from, for error messages: `file keys/x`."""
        self.path: Final = path
        """The file, if it came from one."""
        self.formers: Final = formers
        """What it was before, and until when that is believed."""

    def reveal(self) -> str:
        return self._text

    def believed(self, at: datetime) -> tuple[str, ...]:
        """Each text that something may be sealed with at that moment, the current one first."""
        return (self._text, *(former.text for former in self.formers if former.holds(at)))

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
