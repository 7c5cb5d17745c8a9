"""What people do about their own account: choose a password, set up the app, add a passkey, draw new recovery codes.

Whoever is new, or has lost a factor, gets an enrolment code from the admins. It shows the app's secret for a day and is used up
by a password and the first right code together, so nobody is ever half enrolled. Everything else needs a second factor given
within two minutes: a browser left open is not its person.

Source: SP 800-63B-4 §4.1 (binding authenticators), §4.2.2 (recovery codes).
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused, Unauthenticated
from dispatcher.ledger import Event
from dispatcher.staff.accounts import factors
from dispatcher.staff.accounts.passkeys import Passkeys, titled
from dispatcher.staff.accounts.passwords import Passwords, require_strong
from dispatcher.staff.accounts.register import Account, Enrolment, Passkey, Register
from dispatcher.staff.accounts.sessions import Session
from dispatcher.staff.accounts.tokens import Tokens

ENROLMENT_LIFE = timedelta(hours=24)
NO_ENROLMENT = (
    "この登録コードは使えません。期限が切れたか、使われています (this enrolment code is unknown, used or expired)"
)


@dataclass(frozen=True, slots=True)
class Enrolling:
    """What to set up an authenticator app with. Not for logs."""

    name: str
    secret: str
    uri: str
    """otpauth://"""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Somebody who can now sign in; the recovery codes are shown this once."""

    name: str
    recovery_codes: tuple[str, ...]


def enrolment(now: datetime) -> tuple[str, Enrolment]:
    """A code to hand over once, and what is kept."""
    (code,), (kept,) = factors.new_codes(1)
    return code, Enrolment(kept, factors.new_secret(), (now + ENROLMENT_LIFE).isoformat())


class Own:
    """Each method serves one person, about that person alone."""

    def __init__(
        self,
        register: Register,
        passwords: Passwords,
        passkeys: Passkeys,
        tokens: Tokens,
        clock: Clock,
        *,
        site_name: str,
    ) -> None:
        self._register = register
        self._passwords = passwords
        self._passkeys = passkeys
        self._tokens = tokens
        self._clock = clock
        self._site_name = site_name

    async def enrolling(self, code: str) -> Enrolling:
        """What the app is set up with. May be looked at again until the code is used.

        Raises:
            Unauthenticated: no such code.
        """
        account, waiting = await self._waiting(code)
        return self.setup(account.name, waiting.secret)

    def setup(self, name: str, secret: str) -> Enrolling:
        return Enrolling(name, secret, factors.uri(secret, name, self._site_name))

    async def enrol(self, code: str, password: str, typed: str) -> Enrolled:
        """Choose the password; `typed` is the first code that the app shows.

        Raises:
            Unauthenticated: no such enrolment code.
            InvalidInput: the password, or the app's code, or both. The enrolment code stays good.
        """
        account, waiting = await self._waiting(code)
        findings: list[Finding] = []
        try:
            require_strong(password, account.name)
        except InvalidInput as error:
            findings += error.findings
        step = factors.step_of(waiting.secret, typed, self._clock.now(), after=0)
        if step is None:
            reason = "アプリに出ている6桁を入れてください。端末の時計も確かめてください (the app's six digits; check its clock)"
            findings.append(Finding("code", reason))
        if findings or step is None:
            raise InvalidInput(findings)
        codes, kept = factors.new_codes()
        await self._register.save(
            replace(
                account,
                password=await self._passwords.keep(password),
                totp_secret=waiting.secret,
                totp_step=step,
                recovery=kept,
                enrolment=None,
                epoch=account.epoch + 1,
            ),
            Event("account.enrolled", "", {"by": account.name, "name": account.name}),
        )
        return Enrolled(account.name, codes)

    async def _waiting(self, code: str) -> tuple[Account, Enrolment]:
        kept, now = factors.kept_of(code), self._clock.now()
        for account in await self._register.all():
            waiting = account.enrolment
            if waiting and secrets.compare_digest(waiting.code, kept) and not account.is_disabled:
                if datetime.fromisoformat(waiting.expires_at) <= now:
                    break
                return account, waiting
        raise Unauthenticated(NO_ENROLMENT)

    async def change_password(self, session: Session, old: str, new: str) -> None:
        """Ends every session of this person, this one too.

        Raises:
            Unauthenticated: the old one is wrong.
            InvalidInput: the new one is weak.
        """
        account = await self._mine(session)
        require_strong(new, account.name)
        if not await self._passwords.is_right(old, account.password):
            raise Unauthenticated("今のパスワードが違います (the current password is wrong)")
        changed = replace(account, password=await self._passwords.keep(new), epoch=account.epoch + 1)
        await self._save(changed, "account.password_changed")

    async def change_app(self, session: Session) -> str:
        """A new enrolment code: for a new phone while the old one is still at hand. Until it is used, all stays as it is."""
        account = await self._mine(session)
        code, waiting = enrolment(self._clock.now())
        await self._save(replace(account, enrolment=waiting), "account.renewing")
        return code

    async def new_recovery_codes(self, session: Session) -> Sequence[str]:
        """Shown this once; the old ones are worth nothing from now on."""
        account = await self._mine(session)
        codes, kept = factors.new_codes()
        await self._save(replace(account, recovery=kept), "account.recovery_renewed")
        return codes

    async def new_token(self, session: Session, title: str, scopes: Sequence[str], days: int) -> str:
        """A token for this person's own command line: shown this once.

        Raises:
            InvalidInput: scopes that the person's roles do not have, or too long a life.
        """
        return await self._tokens.issue(await self._mine(session), title, scopes, days)

    async def passkeys(self, session: Session) -> Sequence[Passkey]:
        account = await self._register.find(session.account)
        return account.passkeys if account else ()

    async def passkey_options(self, session: Session) -> Mapping[str, Any]:
        """Options for `navigator.credentials.create()`."""
        return self._passkeys.registering(await self._mine(session), self._site_name)

    async def add_passkey(self, session: Session, answer: str | Mapping[str, Any], title: str = "") -> Passkey:
        """Raises Unauthenticated if the answer is not right, Refused if somebody has this passkey already."""
        account = await self._mine(session)
        passkey = self._passkeys.registered(answer, account, titled(account.passkeys, title))
        if any(passkey.id == known.id for each in await self._register.all() for known in each.passkeys):
            raise Refused("このパスキーは登録済みです (this passkey is registered already)")
        await self._save(replace(account, passkeys=(*account.passkeys, passkey)), "account.passkey_added")
        return passkey

    async def remove_passkey(self, session: Session, identifier: str) -> None:
        """Ends every session of this person: one of them may be the lost device's.

        Raises:
            NotFound: none of this id.
            Refused: it is the only way in.
        """
        account = await self._mine(session)
        left = tuple(passkey for passkey in account.passkeys if passkey.id != identifier)
        if left == account.passkeys:
            raise NotFound("そのパスキーはありません (no such passkey)")
        if not left and account.totp_secret is None:
            raise Refused("ほかに入る手段がありません (it is the only way in)")
        await self._save(replace(account, passkeys=left, epoch=account.epoch + 1), "account.passkey_removed")

    async def _mine(self, session: Session) -> Account:
        """The account of somebody who is surely there.

        Raises:
            Refused: no second factor within two minutes, or the city's own directory keeps this person.
        """
        account = await self._register.find(session.account)
        if account is None:
            raise Refused("この人の設定は市の認証基盤で変えてください (kept by the city's own directory)")
        if not session.is_fresh(self._clock.now()):
            raise Refused(
                "二つ目の確認（確認コードかパスキー）を入れ直してください (give your second factor again first)"
            )
        return account

    async def _save(self, account: Account, name: str) -> None:
        await self._register.save(account, Event(name, "", {"by": account.name, "name": account.name}))
