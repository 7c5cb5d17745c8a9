"""A YAML document whose every value knows its line, and the one error that names all that is wrong with it.

PyYAML speaks YAML 1.1, where a bare `10:00:00` is the number 36000 and a key `on` is True. Here scalars keep the text
that was typed, so the binder decides by the field's type, and a duplicate key is a problem instead of a silent loss.

Source: YAML 1.1 §10.2; facts.md §Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file. `line` counts from 1; `path` is dotted, `channels.website.url`; "" is the file itself."""

    file: str
    line: int
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path}: {self.reason}"


class ConfigError(Exception):
    """A file that describes a site cannot be used. `problems` holds every reason, in the order of the lines."""

    exit_code = 2
    http_status = 500

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))
