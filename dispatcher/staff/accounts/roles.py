"""Which roles an account may have on this node, and which scopes a token may have for a role.

A trainee's account on a live node is a mis-send that waits to happen (東伊豆 2025): it is refused when it is made, and again
every time that somebody comes with it.

Source: design.md §9; issue "Who may": dispatcher/staff/rules.py has what each role may do.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from dispatcher.errors import Finding, InvalidInput, Refused
from dispatcher.staff.rules import Role

PEOPLES = tuple(role for role in Role if role is not Role.INTAKE)
"""Roles of people; `intake` is a machine's."""
_NAMES = frozenset(map(str, Role))


class Scope(StrEnum):
    """What a token opens, of what its owner's roles allow."""

    READ = "read"
    WRITE = "write"
    APPROVE = "approve"
    ADMIN = "admin"
    INTAKE = "intake"
    METRICS = "metrics"


SCOPES: Mapping[Role, frozenset[Scope]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Scope.READ}),
        Role.ORIGINATOR: frozenset({Scope.READ, Scope.WRITE}),
        Role.APPROVER: frozenset({Scope.READ, Scope.WRITE, Scope.APPROVE}),
        Role.WELFARE: frozenset({Scope.READ, Scope.WRITE}),
        Role.COORDINATOR: frozenset({Scope.READ, Scope.WRITE}),
        Role.ADMIN: frozenset({Scope.READ, Scope.WRITE, Scope.ADMIN, Scope.METRICS}),
        Role.TRAINEE: frozenset({Scope.READ, Scope.WRITE}),
        Role.INTAKE: frozenset({Scope.INTAKE}),
    }
)
MACHINES = frozenset({Scope.INTAKE, Scope.METRICS})
"""What a token of a machine may have."""


def scopes_of(roles: Iterable[str]) -> frozenset[Scope]:
    """Everything that these roles may be given."""
    return frozenset[Scope]().union(*(SCOPES[Role(role)] for role in roles if role in _NAMES))


def require_roles(roles: Iterable[str], mode_name: str) -> tuple[str, ...]:
    """These roles, each once.

    Raises:
        InvalidInput: none, an unknown one, or one that nobody may have on a node of this mode.
    """
    kept = tuple(sorted(set(roles)))
    reasons = [
        f"{role[:40]!r} という役割はありません。あるのは {', '.join(PEOPLES)} (no such role)"
        for role in kept
        if role not in PEOPLES
    ]
    if not kept:
        reasons.append(f"役割が一ついります：{', '.join(PEOPLES)} (a role is needed)")
    if _is_misplaced(kept, mode_name):
        reasons.append("trainee（訓練生）は訓練の節点にだけ登録できます (a trainee exists on a drill node only)")
    if reasons:
        raise InvalidInput([Finding("roles", reason) for reason in reasons])
    return kept


def require_fit(roles: Iterable[str], mode_name: str) -> None:
    """Raise Refused if somebody with these roles may not be at a node of this mode at all."""
    if _is_misplaced(tuple(roles), mode_name):
        raise Refused("trainee（訓練生）は本番の節点に入れません (a trainee may not be on a live node)")


def _is_misplaced(roles: tuple[str, ...], mode_name: str) -> bool:
    return Role.TRAINEE in roles and mode_name == "live"
