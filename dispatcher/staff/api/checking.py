"""A request is held to its schema, and everything that is wrong is said at once, each at its place and with what is accepted.

The only door to jsonschema_rs.

Source: JSON Schema 2020-12; RFC 6901.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jsonschema_rs

from dispatcher.errors import Finding
from dispatcher.staff.api.problems import joined
from dispatcher.staff.api.shapes import Schema

_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "string": "文字列 (a string)",
        "integer": "整数 (a whole number)",
        "number": "数 (a number)",
        "boolean": "true か false (true or false)",
        "array": "並び (a list)",
        "object": "オブジェクト (an object)",
        "null": "null",
    }
)
_SAID: Mapping[str, Callable[[Any, Schema], str]] = MappingProxyType(
    {
        "enum": lambda allowed, _: f"{_listed(allowed)} のどれかを書いてください (one of these)",
        "maxLength": lambda most, _: f"{most} 字までです (at most {most} characters)",
        "minLength": lambda least, _: f"{least} 字以上で書いてください (at least {least} characters)",
        "maxItems": lambda most, _: f"{most} 個までです (at most {most})",
        "minItems": lambda least, _: f"{least} 個以上書いてください (at least {least})",
        "maximum": lambda most, _: f"{most} までです (at most {most})",
        "minimum": lambda least, _: f"{least} 以上です (at least {least})",
        "maxProperties": lambda most, _: f"{most} 項目までです (at most {most} members)",
        "pattern": lambda pattern, at: (
            f"{at.get('description', pattern)} の形で書いてください (does not match {pattern})"
        ),
        "format": lambda name, _: f"2026-09-14T15:00:00+09:00 のように書いてください (not a {name})",
        "type": lambda kinds, _: f"{_kinds(kinds)} を書いてください (another type is needed)",
    }
)


class Held:
    """What is held to this schema, which stands in one piece (Shapes without components)."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)

    def findings(self, value: Any, root: str = "") -> Sequence[Finding]:
        """Everything that is wrong with this value; each `where` is a JSON pointer below `root`."""
        found: list[Finding] = []
        for error in self._validator.iter_errors(value):
            found += self._said(error, root)
        return sorted(found, key=lambda finding: finding.where)

    def _said(self, error: jsonschema_rs.ValidationError, root: str) -> list[Finding]:
        at = root + joined(*error.instance_path)
        *path, keyword = error.schema_path
        place: Any = self._schema
        for step in path:
            place = place[step]
        match error.kind:
            case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected):
                known = ", ".join(place.get("properties", ()))
                return [Finding(at + joined(n), f"ない項目です。あるのは {known} (unknown field)") for n in unexpected]
            case jsonschema_rs.ValidationErrorKind.Required(name):
                return [Finding(at + joined(name), "要ります (missing)")]
        say = _SAID.get(str(keyword))
        return [Finding(at, say(place[keyword], place) if say else error.message)]


def _listed(allowed: Sequence[Any]) -> str:
    return ", ".join(map(str, allowed))


def _kinds(kinds: str | Sequence[str]) -> str:
    return " か ".join(_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
