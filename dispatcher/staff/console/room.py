"""What every page stands in: the node's desk, accounts and path, who sits here for this request, and in which language.

Source: design.md §9.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from dispatcher.clock import Clock
from dispatcher.path import Path as MessagePath
from dispatcher.staff.accounts import Accounts, Session
from dispatcher.staff.console.words import Words
from dispatcher.staff.desk import Desk
from dispatcher.staff.sessions import Person

SEAL = "_seal"
"""The form field of the CSRF token."""


@dataclass(frozen=True)
class Console:
    """What every page may use. `url` is where staff open the console, which decides on cookies and origins."""

    desk: Desk[Any]
    accounts: Accounts
    path: MessagePath[Any]
    url: str
    mails_duty: bool = True
    """Whether the site file names a relay for the duty list."""

    @property
    def clock(self) -> Clock:
        return self.path.clock

    @property
    def mode(self) -> str:
        return str(self.path.mode.name)

    @property
    def is_secure(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    def titles(self, kind: str) -> tuple[str, str]:
        """What staff call a channel, in Japanese and in English; its name where this node has it no more."""
        channel = self.path.channels.get(kind)
        return (channel.title, channel.title_en) if channel is not None else (kind, kind)

    def counts(self, kind: str) -> bool:
        """Does this medium reach anybody by name? Where not: 数えない."""
        channel = self.path.channels.get(kind)
        return channel is not None and channel.counts_people


@dataclass(frozen=True, slots=True)
class Sitting:
    """One person at the desk for the length of a request. `csrf` belongs to their session."""

    session: Session
    words: Words

    @property
    def person(self) -> Person:
        return self.session.person

    @property
    def csrf(self) -> str:
        return self.session.csrf


CONSOLE = web.AppKey("console", Console)
SITTING: web.RequestKey[Sitting] = web.RequestKey("sitting", Sitting)
LANGUAGE: web.RequestKey[str] = web.RequestKey("language", str)


def sitting(request: web.Request) -> Sitting:
    """Who asks; the guard has let nobody else in."""
    return request[SITTING]


def words(request: web.Request) -> Words:
    return Words(request[LANGUAGE])
