"""What is done at the machine itself with the node stopped: the first two people, and a way back for who lost everything.

Whoever can stop the node and write its files owns it anyway; what this adds is that the chain says so. From the moment that two
admins can sign in nobody is added here any more.

Source: design.md §9; NIST SP 800-63B-4 §4.2 (account recovery).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, Refused
from dispatcher.ledger import Event
from dispatcher.staff.accounts import factors
from dispatcher.staff.accounts.own import Enrolled, Enrolling, Own
from dispatcher.staff.accounts.passwords import Passwords, require_strong
from dispatcher.staff.accounts.register import Account, Register, new_account
from dispatcher.staff.accounts.roles import require_roles
from dispatcher.staff.rules import Role

OPERATOR = "この機械の管理者 (the machine's operator)"
"""Who acts where nobody is signed in."""


class AtMachine:
    """For `todoke user --site FILE`."""

    def __init__(self, register: Register, passwords: Passwords, own: Own, clock: Clock, mode_name: str) -> None:
        self._register = register
        self._passwords = passwords
        self._own = own
        self._clock = clock
        self._mode = mode_name
        self._founding = asyncio.Lock()

    async def is_founded(self) -> bool:
        """Two admins can sign in: from here on nobody adds anybody alone."""
        return sum(account.is_admin for account in await self._register.all()) >= 2

    async def found(self, name: str, roles: Sequence[str], password: str) -> tuple[Enrolling, Enrolled]:
        """One of the first two people of a new node, who must be admins.

        Raises:
            Refused: there are two already.
            InvalidInput: the name, the roles, the password: every reason at once.
        """
        async with self._founding:
            if await self.is_founded():
                raise Refused(
                    "管理者が2人います。節点を動かし、--site を付けずに提案してください "
                    "(two admins exist: start the node and propose it, without --site)"
                )
            account = await self._founder(name, roles, password)
            secret, (codes, kept) = factors.new_secret(), factors.new_codes()
            account = replace(account, password=await self._passwords.keep(password), totp_secret=secret, recovery=kept)
            await self._save(account, "account.founded", roles=list(account.roles))
        return self._own.setup(account.name, secret), Enrolled(account.name, codes)

    async def _founder(self, name: str, roles: Sequence[str], password: str) -> Account:
        findings: list[Finding] = []
        if Role.ADMIN not in roles:
            findings.append(Finding("roles", "最初の2人には admin がいります (the first two must be admins)"))
        account: Account | None = None
        try:
            account = new_account(name, roles, self._clock.now())
            if await self._register.find(account.key) is not None:
                findings.append(Finding("name", f"{account.name} はもう登録されています (exists already)"))
        except InvalidInput as error:
            findings += error.findings
        for check in (lambda: require_roles(roles, self._mode), lambda: require_strong(password, name)):
            try:
                check()
            except InvalidInput as error:
                findings += error.findings
        if findings or account is None:
            raise InvalidInput(findings)
        return account

    async def new_app(self, name: str) -> tuple[Enrolling, Enrolled]:
        """Another app for who lost the old one and every recovery code. Their sessions and tokens end.

        Raises:
            NotFound: nobody of this name.
        """
        account = await self._register.of_name(name)
        secret, (codes, kept) = factors.new_secret(), factors.new_codes()
        changed = replace(account, totp_secret=secret, totp_step=0, recovery=kept, epoch=account.epoch + 1)
        await self._save(changed, "account.app_replaced")
        return self._own.setup(account.name, secret), Enrolled(account.name, codes)

    async def new_password(self, name: str, password: str) -> None:
        """Another password for who forgot theirs. Their sessions and tokens end.

        Raises:
            NotFound: nobody of this name.
            InvalidInput: the password is weak.
        """
        account = await self._register.of_name(name)
        require_strong(password, account.name)
        changed = replace(account, password=await self._passwords.keep(password), epoch=account.epoch + 1)
        await self._save(changed, "account.password_replaced")

    async def _save(self, account: Account, event: str, **facts: object) -> None:
        await self._register.save(account, Event(event, "", {"by": OPERATOR, "name": account.name, **facts}))
