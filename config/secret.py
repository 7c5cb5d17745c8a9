"""A secret that cannot be printed by mistake.

The site file never holds one: it says where it stands, `{file: keys/x}` or `{env: X_TOKEN}`. Whatever prints, logs or
pickles a Secret gets stars; the one who needs it calls `reveal()`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NoReturn

PRIVATE: Mapping[str, str] = MappingProxyType({"holds": "secret"})
"""Metadata of a settings field whose file nobody but the node may read: `register: Path = field(metadata=PRIVATE)`."""
STATE: Mapping[str, str] = MappingProxyType({"holds": "state"})
"""Metadata of a settings field whose folder the node fills and needs again: it belongs into a backup."""


class Secret:
    """Text that only `reveal()` gives away."""

    __slots__ = ("_text", "path", "source")

    def __init__(self, text: str, source: str = "memory", path: Path | None = None) -> None:
        self._text: Final = text
        self.source: Final = source
        """Where it came from, for error messages: `file keys/x`."""
        self.path: Final = path
        """The file, if it came from one."""

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
