"""Sessions: kept on the node, so that they can be listed and ended. The browser has nothing but 256 random bits.

A session lives while its account is what it was when it began (register.py `epoch`), for half an hour without a sign of its
person and six hours at most. Every request asks the ledger anew: a role taken away is gone with the next click. That somebody
was seen is written once a minute and is nobody's evidence; that a session was opened or closed is.

Source: design.md §9; OWASP Session Management Cheat Sheet; NIST SP 800-63B-4 §5.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import NotFound, StaleHash, Unauthenticated
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.accounts.names import legible
from dispatcher.staff.accounts.register import Account, Register
from dispatcher.staff.sessions import Person

KIND = "session"
IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=6)
SEEN_EVERY = timedelta(minutes=1)
FRESH = timedelta(minutes=2)
"""So long a second factor counts as just given (緊急発表)."""
MAX_OF_A_PERSON = 16
MAX_RACES = 10
MAX_AGENT, MAX_REMOTE = 200, 100
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
ENDED = "サインインが終わっています。もう一度サインインしてください (not signed in, or the session has ended)"


@dataclass(frozen=True, slots=True)
class Session:
    """One person at one browser."""

    id: str
    """SHA-256 of the token: what lists show and `revoke` takes."""
    person: Person
    signed_in_at: datetime
    seen_at: datetime
    second_factor_at: datetime | None
    remote: str
    agent: str
    account: str
    """The account's key; "" for who came in through the city's own directory (oidc.py)."""
    token: str = field(default="", repr=False)
    """For the cookie; "" in lists."""

    @property
    def csrf(self) -> str:
        """What every form of this session carries: derived from the token, so nothing more needs keeping."""
        return hmac.new(self.token.encode(), b"csrf", hashlib.sha256).hexdigest() if self.token else ""

    @property
    def expires_at(self) -> datetime:
        return min(self.signed_in_at + ABSOLUTE, self.seen_at + IDLE)

    def is_fresh(self, now: datetime) -> bool:
        """Whether a second factor was given within the last two minutes."""
        return self.second_factor_at is not None and timedelta() <= now - self.second_factor_at <= FRESH


class Sessions:
    """The sessions of one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock, register: Register) -> None:
        self._ledger = ledger
        self._clock = clock
        self._register = register

    async def open(
        self,
        person: Person,
        account: Account | None,
        *,
        remote: str,
        agent: str,
        how: str,
        second_factor_at: datetime | None,
    ) -> Session:
        """A new session with a new token; the oldest of too many ends. `account` None: who came in by the city's directory."""
        await self._sweep(person.name)
        now, token = self._clock.now(), secrets.token_urlsafe(32)
        body = {
            "name": person.name,
            "account": account.key if account else "",
            "epoch": account.epoch if account else 0,
            "roles": [] if account else list(person.roles),
            "signed_in_at": now.isoformat(),
            "seen_at": now.isoformat(),
            "second_factor_at": second_factor_at.isoformat() if second_factor_at else None,
            "remote": legible(remote, MAX_REMOTE),
            "agent": legible(agent, MAX_AGENT),
        }
        facts = {"by": person.name, "how": how, "remote": body["remote"], "session": _id(token)[:12]}
        await self._ledger.save_record(KIND, _id(token), 0, body, Event("session.opened", "", facts))
        return _session(_id(token), body, person, token)

    async def find(self, token: str, *, is_person: bool = True) -> Session:
        """The session of this token. `is_person` False: asked by a page on its own, which keeps nobody signed in.

        Raises:
            Unauthenticated: there is none, or it has ended.
        """
        if not _TOKEN.fullmatch(token):
            raise Unauthenticated(ENDED)
        try:
            version, body = await self._ledger.read_record(KIND, _id(token))
        except NotFound:
            raise Unauthenticated(ENDED) from None
        person = await self._person(body)
        if person is None or self._is_over(body):
            await self._end(_id(token), version, None)
            raise Unauthenticated(ENDED)
        now = self._clock.now()
        if is_person and now - datetime.fromisoformat(body["seen_at"]) >= SEEN_EVERY:
            body = {**body, "seen_at": now.isoformat()}
            await self._note(_id(token), version, body)
        return _session(_id(token), body, person, token)

    async def refresh(self, session: Session) -> Session:
        """Its person has just given a second factor."""
        for _ in range(MAX_RACES):
            version, body = await self._ledger.read_record(KIND, session.id)
            body = {**body, "second_factor_at": self._clock.now().isoformat()}
            try:
                await self._ledger.save_record(KIND, session.id, version, body, None)
            except StaleHash:
                # A page of the same person was seen at this moment.
                continue
            return _session(session.id, body, session.person, session.token)
        raise Unauthenticated(ENDED)

    async def close(self, identifier: str, *, by: str) -> None:
        """End one session, by its id.

        Raises:
            NotFound: there is none.
        """
        version, body = await self._ledger.read_record(KIND, identifier)
        event = Event("session.closed", "", {"by": by, "name": body["name"], "session": identifier[:12]})
        await self._end(identifier, version, event)

    async def all(self) -> Sequence[Session]:
        """Those that live, newest first, without their tokens."""
        living = []
        for identifier, _, body in await self._ledger.records(KIND):
            person = await self._person(body)
            if person is not None and not self._is_over(body):
                living.append(_session(identifier, body, person, ""))
        return sorted(living, key=lambda session: session.signed_in_at, reverse=True)

    async def _person(self, body: Mapping[str, Any]) -> Person | None:
        """Who this session is of, as their account stands now."""
        if not body["account"]:
            return Person(body["name"], tuple(body["roles"]), "")
        account = await self._register.find(body["account"])
        if account is None or account.is_disabled or account.epoch != body["epoch"]:
            return None
        return account.person

    def _is_over(self, body: Mapping[str, Any]) -> bool:
        now = self._clock.now()
        signed_in_at, seen_at = (datetime.fromisoformat(body[name]) for name in ("signed_in_at", "seen_at"))
        return now - signed_in_at >= ABSOLUTE or now - seen_at >= IDLE

    async def _sweep(self, name: str) -> None:
        """Take away what is over, and the oldest of one who has too many."""
        mine = []
        for identifier, version, body in await self._ledger.records(KIND):
            if self._is_over(body) or await self._person(body) is None:
                await self._end(identifier, version, None)
            elif body["name"] == name:
                mine.append((body["signed_in_at"], identifier, version))
        for _, identifier, version in sorted(mine)[: max(0, len(mine) + 1 - MAX_OF_A_PERSON)]:
            await self._end(identifier, version, None)

    async def _end(self, identifier: str, version: int, event: Event | None) -> None:
        try:
            await self._ledger.save_record(KIND, identifier, version, None, event)
        except StaleHash:
            # Its person clicked at this very moment, or it is gone already: what stands there now is ended all the same.
            try:
                version, _ = await self._ledger.read_record(KIND, identifier)
            except NotFound:
                return
            await self._ledger.save_record(KIND, identifier, version, None, event)

    async def _note(self, identifier: str, version: int, body: Mapping[str, Any]) -> None:
        try:
            await self._ledger.save_record(KIND, identifier, version, body, None)
        except StaleHash:
            # Another click of the same person noted it first, or signed out: either is newer than this.
            return


def _id(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _session(identifier: str, body: Mapping[str, Any], person: Person, token: str) -> Session:
    factor = body["second_factor_at"]
    return Session(
        identifier,
        person,
        datetime.fromisoformat(body["signed_in_at"]),
        datetime.fromisoformat(body["seen_at"]),
        datetime.fromisoformat(factor) if factor else None,
        body["remote"],
        body["agent"],
        body["account"],
        token,
    )
