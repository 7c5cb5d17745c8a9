"""The accounts as the ledger keeps them: one record a person, written with the event that says what was done to it.

`epoch` grows with whatever takes trust away (a role, a factor, the account itself). Sessions and tokens carry the epoch they
were given in, so all of them end at once, also those that another node handed out.

Source: design.md §9; NIST SP 800-63B-4 §4.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from dispatcher.errors import NotFound, Refused
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.accounts.names import key_of, named
from dispatcher.staff.accounts.sealing import Seal
from dispatcher.staff.rules import Role
from dispatcher.staff.sessions import Person

KIND = "account"
KNOWN_PLACES = 8
"""Addresses that a person last signed in from; strangers' failures do not slow these (throttle.py)."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A WebAuthn credential; binary values in base64url."""

    id: str
    public_key: str
    sign_count: int
    title: str
    added_at: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Waits for a person to choose a password and set up their app. `code` is kept hashed, `secret` is the app's to be."""

    code: str
    secret: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class Account:
    """One person. `version` 0 is not yet written down."""

    key: str
    name: str
    roles: tuple[str, ...]
    handle: str
    """Random; what an authenticator calls the account by (WebAuthn §5.4.3: nothing that names a person)."""
    added_at: str
    version: int = 0
    epoch: int = 1
    is_disabled: bool = False
    password: str | None = field(default=None, repr=False)
    totp_secret: str | None = field(default=None, repr=False)
    totp_step: int = 0
    recovery: tuple[str, ...] = field(default=(), repr=False)
    passkeys: tuple[Passkey, ...] = ()
    enrolment: Enrolment | None = field(default=None, repr=False)
    known_places: tuple[str, ...] = field(default=(), repr=False)

    @property
    def person(self) -> Person:
        return Person(self.name, self.roles, "")

    @property
    def is_admin(self) -> bool:
        """Can give the second word on a proposal: has the role, is not disabled, and is past enrolment."""
        return Role.ADMIN in self.roles and not self.is_disabled and (self.password is not None or bool(self.passkeys))

    def body(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in {"key", "version"}}

    @classmethod
    def from_body(cls, key: str, version: int, body: Mapping[str, Any]) -> "Account":
        values = dict(body)
        values["passkeys"] = tuple(Passkey(**passkey) for passkey in body["passkeys"])
        values["enrolment"] = Enrolment(**body["enrolment"]) if body["enrolment"] else None
        for name in ("roles", "recovery", "known_places"):
            values[name] = tuple(body[name])
        return cls(key=key, version=version, **values)


def new_account(name: str, roles: Sequence[str], now: datetime) -> Account:
    """Nobody's yet: without password or factor.

    Raises:
        InvalidInput: the name.
    """
    kept, key = named(name)
    return Account(key, kept, tuple(sorted(set(roles))), secrets.token_urlsafe(32), now.isoformat())


@dataclass(frozen=True, slots=True)
class Listed:
    """One of the people, as lists show them."""

    name: str
    roles: tuple[str, ...]
    state: str
    """`active`, `enrolling`, `disabled`; `site` is a person of the site file, who has a token and no sign-in."""
    has_password: bool = False
    has_app: bool = False
    passkeys: int = 0
    recovery_codes: int = 0


def listed(account: Account) -> Listed:
    can_sign_in = account.password is not None or bool(account.passkeys)
    return Listed(
        account.name,
        account.roles,
        "disabled" if account.is_disabled else "active" if can_sign_in else "enrolling",
        account.password is not None,
        account.totp_secret is not None,
        len(account.passkeys),
        len(account.recovery),
    )


def of_site(person: Person) -> Listed:
    return Listed(person.name, person.roles, "site")


class Register:
    """The accounts of one ledger."""

    def __init__(self, ledger: Ledger, seal: Seal) -> None:
        self._ledger = ledger
        self._seal = seal

    async def find(self, key: str) -> Account | None:
        if not key:
            return None
        try:
            return self._opened(Account.from_body(key, *await self._ledger.read_record(KIND, key)))
        except NotFound:
            return None

    async def of_name(self, name: str) -> Account:
        """The account that this name finds.

        Raises:
            NotFound: nobody's.
        """
        account = await self.find(key_of(name))
        if account is None:
            raise NotFound(f"{name[:40]} という人はいません。todoke user list で見られます (nobody of this name)")
        return account

    async def all(self) -> Sequence[Account]:
        """In the order of their keys."""
        return [self._opened(Account.from_body(*record)) for record in await self._ledger.records(KIND)]

    async def save(self, account: Account, event: Event) -> Account:
        """Raises StaleHash if it was changed meanwhile; `version` 0 is new."""
        body = self._turned(account, self._seal.close).body()
        version = await self._ledger.save_record(KIND, account.key, account.version, body, event)
        return replace(account, version=version)

    async def remove(self, account: Account, event: Event) -> None:
        await self._ledger.save_record(KIND, account.key, account.version, None, event)

    def _opened(self, account: Account) -> Account:
        return self._turned(account, self._seal.open)

    @staticmethod
    def _turned(account: Account, turn: Callable[[str, str], str]) -> Account:
        """The account with what its app shares turned over: sealed to be written, opened to be used."""
        secret, waiting = account.totp_secret, account.enrolment
        return replace(
            account,
            totp_secret=None if secret is None else turn(secret, account.key),
            enrolment=None if waiting is None else replace(waiting, secret=turn(waiting.secret, account.key)),
        )

    async def require_two_admins(self, without: Account) -> None:
        """Raise Refused if too few admins remained: nothing could then be approved any more."""
        left = [account for account in await self.all() if account.is_admin and account.key != without.key]
        if len(left) < 2:
            raise Refused(
                f"{without.name} のほかに管理者が2人いません。先に管理者を増やしてください (two admins must remain)"
            )
