"""A YAML document whose every value knows its line, and the one error that names all that is wrong with it.

PyYAML speaks YAML 1.1, where a bare `10:00:00` is the number 36000 and a key `on` is True. Here scalars keep the text
that was typed, so the binder decides by the field's type, and a duplicate key is a problem instead of a silent loss.

Source: YAML 1.1 §10.2; facts.md §Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import yaml


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


MAX_BYTES = 1_000_000
"""A site file is pages long; a larger one is a mistake or an attack."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `value` is str for any scalar (as typed), a tuple for a list, a dict for a mapping, None for null."""

    value: "str | tuple[Node, ...] | dict[str, Node] | None"
    line: int
    is_quoted: bool = False


def read(data: bytes, file: str) -> Node:
    """The document in these bytes.

    Raises:
        ConfigError: it is not UTF-8, not YAML, too large, or uses a tag, an anchor, an alias or a key twice.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(file, 1, "", f"{len(data)} bytes; {MAX_BYTES} at most")])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(file, data.count(b"\n", 0, error.start) + 1, "", "not UTF-8")]) from None
    problems: list[Problem] = []
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)):
                what = type(token).__name__.removesuffix("Token").lower()
                problems.append(
                    Problem(file, token.start_mark.line + 1, "", f"no {what} is accepted; write the value out")
                )
        if problems:
            raise ConfigError(problems)
        composed = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([Problem(file, line, "", f"not YAML: {error.problem}")]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError([Problem(file, 1, "", f"not YAML: {str(error).splitlines()[0][:120]}")]) from None
    document = _node(composed, file, "", problems) if composed is not None else Node({}, 1)
    if problems:
        raise ConfigError(problems)
    return document


def _node(node: yaml.Node, file: str, path: str, problems: list[Problem]) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        is_null = node.tag == "tag:yaml.org,2002:null" and node.style is None
        return Node(None if is_null else node.value, line, is_quoted=node.style is not None)
    if isinstance(node, yaml.SequenceNode):
        return Node(tuple(_node(item, file, f"{path}[{i}]", problems) for i, item in enumerate(node.value)), line)
    members: dict[str, Node] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        at = f"{path}.{name}" if path else name
        if name in members:
            problems.append(
                Problem(file, key.start_mark.line + 1, at, f"stands twice; first in line {members[name].line}")
            )
            continue
        members[name] = _node(value, file, at, problems)
    return Node(members, line)
