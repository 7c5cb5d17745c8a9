"""A frozen dataclass as JSON: its schema, a value of it as JSON, and a value of it from JSON.

Requests and answers are dataclasses; the schema that a request is held to, the one that openapi.json shows and the code that reads
it all come from the same fields, so they cannot disagree. `Annotated[str, Facets(maxLength=40)]` adds to the schema of a
field, `Annotated[Noun, Without("field")]` leaves fields out.

Source: JSON Schema 2020-12 (Core §8, Validation §6); OpenAPI 3.1 §4.8.24; RFC 3339; RFC 8259 §4, §8.2.
"""

import base64
import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Without:
    """Fields of a noun that do not cross this door; `as_` is what the rest is called in the document."""

    names: frozenset[str]
    as_: str

    def __init__(self, *names: str, as_: str) -> None:
        object.__setattr__(self, "names", frozenset(names))
        object.__setattr__(self, "as_", as_)


@dataclass(frozen=True, slots=True)
class Facets:
    """What a field's schema says beside its type: `Facets(maxLength=40)`."""

    said: tuple[tuple[str, Any], ...]

    def __init__(self, **said: Any) -> None:
        object.__setattr__(self, "said", tuple(said.items()))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A noun whose JSON is not its fields one to one: how its schema and its JSON differ from them."""

    changes: Mapping[str, Any]
    """Field → the type that it has in JSON."""
    write: Callable[[Any], Mapping[str, Any]]


_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    datetime: {"type": "string", "format": "date-time"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    type(None): {"type": "null"},
    object: {},
    Any: {},
}


class Shapes:
    """Schemas of types. With `components`, each dataclass is named there once and referred to; without, all stands in one piece."""

    def __init__(self, drawn: Mapping[type, Drawn], components: dict[str, Schema] | None = None) -> None:
        self._drawn = drawn
        self._components = components
        self._named: dict[str, tuple[Any, frozenset[str]]] = {}

    def schema(self, hint: Any) -> Schema:  # noqa: PLR0911 - one return for each form of type
        """The schema of what `plain` makes of a value of this type, and of what `bound` takes."""
        origin, args = get_origin(hint), get_args(hint)
        if origin is Annotated:
            added = {name: said for extra in args[1:] if isinstance(extra, Facets) for name, said in extra.said}
            part = next((extra for extra in args[1:] if isinstance(extra, Without)), None)
            inner = self._noun(args[0], part.names, part.as_) if part else self.schema(args[0])
            return {**inner, **added}
        if origin in {Union, types.UnionType}:
            return _either([self.schema(arg) for arg in args])
        if origin is Literal:
            return {"type": "string", "enum": list(args)}
        if origin is tuple or origin is list or (isinstance(origin, type) and issubclass(origin, Sequence)):
            return {"type": "array", "items": self.schema(args[0])}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.schema(args[1])}
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return {"type": "string", "enum": [member.value for member in hint]}
        if isinstance(hint, type) and issubclass(hint, Enum):
            return {"type": "integer", "enum": [member.value for member in hint]}
        if is_dataclass(origin or hint):
            noun = origin or hint
            return self._noun(noun, frozenset(), noun.__name__)
        return dict(_SCALARS[hint])

    def _noun(self, cls: Any, omitted: frozenset[str], name: str) -> Schema:
        if self._components is None:
            return self._members(cls, omitted)
        if self._named.setdefault(name, (cls, omitted)) != (cls, omitted):
            raise TypeError(f"two nouns have one name in the document: {cls.__module__}.{name} and {self._named[name]}")
        if name not in self._components:
            self._components[name] = {}  # stands there before its members are read, for one that holds itself
            self._components[name] = self._members(cls, omitted)
        return {"$ref": f"#/components/schemas/{name}"}

    def _members(self, cls: Any, omitted: frozenset[str]) -> Schema:
        hints = {**get_type_hints(cls, include_extras=True), **self._changes(cls)}
        shown = [f for f in fields(cls) if f.name not in omitted]
        needed = [f.name for f in shown if f.default is MISSING and f.default_factory is MISSING]
        schema: Schema = {
            "type": "object",
            "properties": {f.name: self.schema(hints[f.name]) for f in shown},
            "additionalProperties": False,
        }
        return {**schema, "required": needed} if needed else schema

    def _changes(self, cls: Any) -> Mapping[str, Any]:
        return self._drawn[cls].changes if cls in self._drawn else {}

    def plain(self, value: Any, hint: Any = None) -> Any:  # noqa: PLR0911 - as above
        """The value as JSON has it. `hint` is needed only where it says what to leave out."""
        if get_origin(hint) in {Union, types.UnionType}:
            return self.plain(value, next((arg for arg in get_args(hint) if arg is not type(None)), None))
        omitted: frozenset[str] = frozenset()
        if get_origin(hint) is Annotated:
            extras = get_args(hint)[1:]
            omitted = frozenset(name for extra in extras if isinstance(extra, Without) for name in extra.names)
            hint = get_args(hint)[0]
        if type(value) in self._drawn:
            return self.plain(self._drawn[type(value)].write(value))
        if is_dataclass(value) and not isinstance(value, type):
            hints = get_type_hints(type(value), include_extras=True)
            shown = [f.name for f in fields(value) if f.name not in omitted]
            return {name: self.plain(getattr(value, name), hints[name]) for name in shown}
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        if isinstance(value, Mapping):
            return {str(key): self.plain(item, _item(hint)) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self.plain(item, _item(hint)) for item in value]
        return value


def bound(hint: Any, value: Any) -> Any:  # noqa: PLR0911 - one return for each form of type
    """The value that this JSON, which has passed the type's schema, says."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return bound(args[0], value)
    if origin in {Union, types.UnionType}:
        return None if value is None else bound(next(a for a in args if a is not type(None)), value)
    if is_dataclass(hint):
        assert isinstance(hint, type)
        hints = get_type_hints(hint, include_extras=True)
        return hint(**{name: bound(hints[name], item) for name, item in value.items()})
    if origin is tuple:
        return tuple(bound(args[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {name: bound(args[1], item) for name, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if hint is datetime:
        # RFC 3339 §5.6 takes small letters and a leap second, Python's reader neither.
        return datetime.fromisoformat(re.sub(r":60(?=[.Z+-])", ":59", value.upper()))
    if hint is bytes:
        return base64.b64decode(value, validate=True)
    return int(value) if hint is int else value


def read_json(data: bytes) -> Any:
    """The JSON text in these bytes.

    Raises:
        ValueError: it is none, says a member twice, or names a number that JSON does not have.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            # RFC 8259 §4: readers differ in which of the two they take, so neither is what was meant.
            raise ValueError("a member stands twice in an object")
        return members

    def no_number(name: str) -> Any:
        raise ValueError(f"{name} is no JSON number")

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_number)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _item(hint: Any) -> Any:
    args = get_args(hint)
    return args[-1] if get_origin(hint) is not tuple and args else (args[0] if args else None)


def _either(schemas: Sequence[Schema]) -> Schema:
    """One of these; scalars that may be null are said in the short form, whose errors are plain."""
    null = {"type": "null"}
    others = [s for s in schemas if s != null]
    if len(others) == 1 and null in schemas and isinstance(others[0].get("type"), str) and "enum" not in others[0]:
        return {**others[0], "type": [others[0]["type"], "null"]}
    return {"anyOf": list(schemas)}
