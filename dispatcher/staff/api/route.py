"""One row of the API's table: where, who may, what is done. What it takes and gives is what its function says.

A function `async def submit(call: Call[ToSubmit, Nothing]) -> Submitted` is its own documentation: the types of body, query
and answer are read from it, so the table has no place in which to say something else.

Source: design.md §9; OpenAPI 3.1 §4.8.10.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.accounts.tokens import Bearer
from dispatcher.staff.api.rooms import Rooms
from dispatcher.staff.sessions import Person


@dataclass(frozen=True, slots=True)
class Nothing:
    """No body, or no query."""


B = TypeVar("B")
Q = TypeVar("Q")


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """A request that has passed the door."""

    rooms: Rooms
    bearer: Bearer
    path: Mapping[str, str]
    """The path's parameters."""
    body: B
    query: Q

    @property
    def who(self) -> Person:
        return self.bearer.person

    @property
    def id(self) -> str:
        return self.path["id"]


Handle = Callable[[Call[Any, Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """One row. `changes`: what is done may be rehearsed (`dry_run`) and asked for again (`Idempotency-Key`)."""

    method: str
    path: str
    scope: Scope
    handle: Handle
    changes: bool
    status: int = 200
    max_bytes: int = 200_000
    hands_over: bool = False
    """Its answer holds a secret, which is said once and kept nowhere: it cannot be asked for again."""

    @property
    def may_repeat(self) -> bool:
        return self.changes and not self.hands_over

    @property
    def name(self) -> str:
        """The operation's id, as code that is made from the document will call it."""
        return self.handle.__name__

    @property
    def about(self) -> str:
        """One line, Japanese with the English beside it."""
        return (self.handle.__doc__ or "").strip()

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        return get_type_hints(self.handle, include_extras=True)

    @property
    def body(self) -> Any:
        return get_args(self._hints["call"])[0]

    @property
    def query(self) -> Any:
        return get_args(self._hints["call"])[1]

    @property
    def answer(self) -> Any:
        return self._hints["return"]

    @property
    def takes_body(self) -> bool:
        return bool(self.body is not Nothing)


def looks(path: str, scope: Scope, handle: Handle) -> Route:
    """A question about what stands there."""
    return Route("GET", path, scope, handle, changes=False)


def asks(path: str, scope: Scope, handle: Handle, **more: Any) -> Route:
    """A question that is too long for an address; nothing is written that anybody would miss."""
    return Route("POST", path, scope, handle, changes=False, **more)


def changes(path: str, scope: Scope, handle: Handle, *, method: str = "POST", **more: Any) -> Route:
    """An act."""
    return Route(method, path, scope, handle, changes=True, **more)
