"""Whose token a request bears: people of the site file, whose one token is for everything that their roles allow.

Source: RFC 6750; design.md §9.
"""

from typing import Any

from dispatcher.staff.accounts.roles import scopes_of
from dispatcher.staff.accounts.tokens import Bearer
from dispatcher.staff.desk import Desk


class SiteTokens:
    """The doorkeeper of a node whose people stand in its site file."""

    def __init__(self, desk: Desk[Any]) -> None:
        self._desk = desk

    async def bearer(self, token: str) -> Bearer:
        """Raises Unauthenticated."""
        person = self._desk.who(token)
        return Bearer(person, scopes_of(person.roles), person.name, "")
