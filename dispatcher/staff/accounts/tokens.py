"""Bearer tokens for programs: a person's own command line, another system that sends CAP, the metrics' reader.

A token is 256 random bits, so only its hash is kept and a fast hash will do. It opens what its scopes and its owner's roles both
allow, ends on a date, and falls with its owner's account. Rotation hands out a new one while the old goes on for a set time, so
that nothing that runs has a gap.

Source: RFC 6750; OWASP Secrets Management Cheat Sheet §2.6 (rotation); design.md §9.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused, Unauthenticated
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.accounts.names import named
from dispatcher.staff.accounts.register import Account, Register
from dispatcher.staff.accounts.roles import MACHINES, Scope, scopes_of
from dispatcher.staff.rules import Role
from dispatcher.staff.sessions import People, Person, hash_of, new_token

KIND = "token"
MAX_DAYS, MAX_MACHINE_DAYS = 90, 400
OVERLAP_S = 3600.0
MAX_OVERLAP_S = 7 * 86400.0
MAX_OF_ONE = 20
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}")
UNKNOWN = "この鍵では入れません。期限が切れたか、取り消されたか、知らない鍵です (unknown, expired or revoked token)"


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who comes with a token, and what it opens."""

    person: Person
    scopes: frozenset[Scope]
    title: str
    token_id: str
    """"" for a token of the site file."""

    def require(self, scope: Scope) -> None:
        """Raise Refused if the token does not open this."""
        if scope not in self.scopes:
            raise Refused(f"この鍵には {scope} の範囲がありません (the token lacks the scope {scope})")


@dataclass(frozen=True, slots=True)
class Issued:
    """A token as lists show it."""

    id: str
    title: str
    owner: str
    """The person's name; "" for a machine's."""
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    replaced_by: str
    """The token that takes its place when it expires; "" if none does."""


class Tokens:
    """The tokens of one ledger, and those of the site file."""

    def __init__(self, ledger: Ledger, clock: Clock, register: Register, site_people: Sequence[Person]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._register = register
        self._site_people = People(site_people)

    async def find(self, token: str) -> Bearer:
        """Who comes with it.

        Raises:
            Unauthenticated: nobody, or nobody any more.
        """
        if not _TOKEN.fullmatch(token):
            raise Unauthenticated(UNKNOWN)
        if (person := self._site_people.whose(token)) is not None:
            return Bearer(person, scopes_of(person.roles), person.name, "")
        return await self._kept(hash_of(token))

    async def _kept(self, key: str) -> Bearer:
        try:
            _, body = await self._ledger.read_record(KIND, key)
        except NotFound:
            raise Unauthenticated(UNKNOWN) from None
        person = await self._owner(body)
        if person is None or datetime.fromisoformat(body["expires_at"]) <= self._clock.now():
            raise Unauthenticated(UNKNOWN)
        given = frozenset(Scope(scope) for scope in body["scopes"])
        return Bearer(person, given & (scopes_of(person.roles) | MACHINES), body["title"], key[:12])

    async def _owner(self, body: Mapping[str, Any]) -> Person | None:
        if not body["account"]:
            return Person(body["title"], (Role.INTAKE,) if Scope.INTAKE in body["scopes"] else (), "")
        account = await self._register.find(body["account"])
        if account is None or account.is_disabled or account.epoch != body["epoch"]:
            return None
        return account.person

    async def issue(self, account: Account, title: str, scopes: Iterable[str], days: int) -> str:
        """A token of a person's own, on Own.new_token: shown this once.

        Raises:
            InvalidInput: scopes that the person's roles do not have, or too long a life.
        """
        wanted = self.checked(title, scopes, days, allowed=scopes_of(account.roles), max_days=MAX_DAYS)
        mine = [body for _, _, body in await self._living() if body["account"] == account.key]
        if len(mine) >= MAX_OF_ONE:
            raise Refused(f"鍵は一人{MAX_OF_ONE}本までです (at most {MAX_OF_ONE} tokens each)")
        owner = {"account": account.key, "epoch": account.epoch, "owner": account.name}
        return await self._new({**wanted, **owner}, by=account.name)

    async def issue_machine(self, title: str, scopes: Iterable[str], days: int, *, by: str) -> str:
        """A machine's token, on a proposal that two admins made: shown this once."""
        wanted = self.checked(title, scopes, days, allowed=MACHINES, max_days=MAX_MACHINE_DAYS)
        return await self._new({**wanted, "account": "", "epoch": 0, "owner": ""}, by=by)

    @staticmethod
    def checked(
        title: str, scopes: Iterable[str], days: int, *, allowed: frozenset[Scope], max_days: int
    ) -> dict[str, Any]:
        """What was asked for, or every reason against it."""
        findings = []
        try:
            title, _ = named(title)
        except InvalidInput as error:
            findings += [Finding("title", finding.reason) for finding in error.findings]
        kept = sorted(set(scopes))
        if not kept or any(scope not in allowed for scope in kept):
            may = ", ".join(sorted(allowed)) or "（なし）"
            findings.append(Finding("scopes", f"この鍵に許されるのは {may} です (accepted are {may})"))
        if not 1 <= days <= max_days:
            findings.append(Finding("days", f"1日から{max_days}日までです (1 to {max_days} days)"))
        if findings:
            raise InvalidInput(findings)
        return {"title": title, "scopes": kept, "days": days}

    async def _new(self, wanted: Mapping[str, Any], *, by: str, name: str = "token.issued") -> str:
        now, (token, key) = self._clock.now(), new_token()
        body = {
            **{field: wanted[field] for field in ("title", "scopes", "days", "account", "epoch", "owner")},
            "issued_at": now.isoformat(),
            "expires_at": (now + timedelta(days=wanted["days"])).isoformat(),
            "replaced_by": "",
        }
        facts = {"by": by, "token": key[:12], "title": body["title"], "scopes": list(body["scopes"])}
        await self._ledger.save_record(KIND, key, 0, body, Event(name, "", facts))
        return token

    async def rotate(self, by: Person, identifier: str, *, overlap_s: float = OVERLAP_S) -> str:
        """A new token in this one's place: shown this once. The old one goes on for `overlap_s` seconds.

        A person's is handed to that person alone, never to an admin, who would be that person with it; a machine's to the machine
        or to an admin. Whoever may come with one token only (a bearer) must be let rotate that one only.

        Raises:
            NotFound: none of this id.
            Refused: somebody else's, or replaced already.
        """
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise InvalidInput(
                [Finding("overlap_s", f"0秒から{MAX_OVERLAP_S:.0f}秒までです (seconds, a week at most)")]
            )
        key, version, body = await self._one(by, identifier)
        if body["account"] and body["owner"] != by.name:
            raise Refused("ほかの人の鍵です。本人だけが取り替えられます (only its owner may rotate it)")
        if body["replaced_by"]:
            raise Refused(f"{identifier} は取り替え済みです (already rotated)")
        # The old one is marked first: should the node stop in between, it has a date and nobody has two.
        until = min(datetime.fromisoformat(body["expires_at"]), self._clock.now() + timedelta(seconds=overlap_s))
        old = {**body, "expires_at": until.isoformat(), "replaced_by": "rotating"}
        facts = {"by": by.name, "token": key[:12], "until": until.isoformat()}
        version = await self._ledger.save_record(KIND, key, version, old, Event("token.retiring", "", facts))
        token = await self._new(body, by=by.name, name="token.rotated")
        new = hash_of(token)[:12]
        facts = {"by": by.name, "token": key[:12], "replaced_by": new}
        await self._ledger.save_record(
            KIND, key, version, {**old, "replaced_by": new}, Event("token.replaced", "", facts)
        )
        return token

    async def revoke(self, by: Person, identifier: str) -> None:
        """End a token now: one's own, or any as an admin.

        Raises:
            NotFound: none of this id.
            Refused: somebody else's.
        """
        key, version, body = await self._one(by, identifier)
        facts = {"by": by.name, "token": key[:12], "title": body["title"]}
        await self._ledger.save_record(KIND, key, version, None, Event("token.revoked", "", facts))

    async def all(self) -> Sequence[Issued]:
        """Those that still open something, in the order of their titles."""
        listed = [
            Issued(
                key[:12],
                body["title"],
                body["owner"],
                tuple(body["scopes"]),
                datetime.fromisoformat(body["issued_at"]),
                datetime.fromisoformat(body["expires_at"]),
                body["replaced_by"],
            )
            for key, _, body in await self._living()
        ]
        return sorted(listed, key=lambda issued: (issued.title, issued.issued_at))

    async def _living(self) -> Sequence[tuple[str, int, Mapping[str, Any]]]:
        now = self._clock.now()
        return [
            record
            for record in await self._ledger.records(KIND)
            if datetime.fromisoformat(record[2]["expires_at"]) > now and await self._owner(record[2]) is not None
        ]

    async def _one(self, by: Person, identifier: str) -> tuple[str, int, Mapping[str, Any]]:
        found = [record for record in await self._living() if record[0][:12] == identifier]
        if not found:
            raise NotFound(f"{identifier[:20]} という鍵はありません (no such token)")
        body = found[0][2]
        is_own = body["owner"] == by.name if body["account"] else _is_machine(by) and body["title"] == by.name
        if not is_own and Role.ADMIN not in by.roles:
            raise Refused("ほかの人の鍵です。管理者だけが扱えます (somebody else's token)")
        return found[0]


def _is_machine(person: Person) -> bool:
    """People have a role, and never that of intake (roles.py)."""
    return not person.roles or Role.INTAKE in person.roles
