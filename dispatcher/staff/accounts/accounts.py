"""Accounts: the one object that the console, the API and the command line ask who somebody is.

    sign_in, passkeys, session, sign_out      here, with the throttle before and the evidence behind every try
    own         what people do about their own account      proposals   what two admins do about everybody's
    tokens      what programs come with                    at_machine  the first two people, and a way back

A refusal never tells whether the name exists, the password was wrong or the code: not by its words, not by its time.

Source: design.md §9; OWASP Authentication Cheat Sheet; NIST SP 800-63B-4.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from config.secret import Secret
from dispatcher.clock import Clock
from dispatcher.errors import NotFound, Refused, StaleHash, Throttled, Unauthenticated
from dispatcher.ledger import Event, Ledger
from dispatcher.model.mode import MODES
from dispatcher.staff.accounts import factors, throttle
from dispatcher.staff.accounts.acts import Acts
from dispatcher.staff.accounts.at_machine import AtMachine
from dispatcher.staff.accounts.names import key_of, legible
from dispatcher.staff.accounts.oidc import Issuer
from dispatcher.staff.accounts.own import Own
from dispatcher.staff.accounts.passkeys import Passkeys
from dispatcher.staff.accounts.passwords import Passwords
from dispatcher.staff.accounts.proposals import Proposals
from dispatcher.staff.accounts.register import KNOWN_PLACES, Account, Listed, Register, listed, of_site
from dispatcher.staff.accounts.roles import require_fit
from dispatcher.staff.accounts.sealing import Seal
from dispatcher.staff.accounts.sessions import Session, Sessions
from dispatcher.staff.accounts.throttle import Counter, Throttle
from dispatcher.staff.accounts.tokens import Bearer, Tokens
from dispatcher.staff.rules import Role
from dispatcher.staff.sessions import Person

WRONG = "名前、パスワード、確認コードのどれかが違います (the name, the password or the code is wrong)"
WRONG_FACTOR = "確認コードが違うか、もう使われています (the code is wrong or was used already)"


class Accounts:
    """Who may sit at the desk of one node.

    `origin` is where browsers reach the console, for passkeys; `directory` the city's own, open, where there is one; `key` seals
    what must be read back (sealing.py).
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        mode_name: str,
        site_people: Sequence[Person] = (),
        *,
        origin: str = "http://localhost:8181",
        passwords: Passwords | None = None,
        directory: Issuer | None = None,
        key: Secret | None = None,
    ) -> None:
        self.directory = directory
        self._ledger = ledger
        self._clock = clock
        self._mode = mode_name
        self._site_people = tuple(site_people)
        self._key = key
        self._register = Register(ledger, Seal(key))
        self._passwords = passwords or Passwords()
        self._origin = origin
        self._passkeys = Passkeys(origin, clock)
        self._throttle = Throttle(ledger, clock)
        self._sessions = Sessions(ledger, clock, self._register)
        self.tokens = Tokens(ledger, clock, self._register, site_people)
        self.proposals = Proposals(ledger, clock, Acts(ledger, clock, self._register, self.tokens, mode_name))
        site_name = f"Todoke {MODES[mode_name].word}"
        self.own = Own(self._register, self._passwords, self._passkeys, self.tokens, clock, site_name=site_name)
        self.at_machine = AtMachine(self._register, self._passwords, self.own, clock, mode_name)

    def over(self, ledger: Ledger) -> "Accounts":
        """The same people over another ledger: over one that forgets (`--dry-run`) no factor is burnt and nothing is proposed.

        Wrong answers are counted in the real one all the same, or a rehearsal would be the place to guess at codes.
        """
        same = Accounts(
            ledger,
            self._clock,
            self._mode,
            self._site_people,
            origin=self._origin,
            passwords=self._passwords,
            directory=self.directory,
            key=self._key,
        )
        same._throttle = self._throttle
        return same

    # -- coming in ---------------------------------------------------------------------------------------------------

    async def sign_in(self, name: str, password: str, code: str, remote: str, agent: str) -> Session:
        """A new session for who knows the password and has the app, or one of the recovery codes.

        Raises:
            Unauthenticated: something is wrong; nothing tells what.
            Throttled: too early; nothing was looked at.
            Refused: a trainee at a live node.
        """
        key, place = key_of(name), throttle.place_of(remote)
        account = await self._register.find(key)
        is_known = account is not None and place in account.known_places
        counters = (throttle.of_name(key, place if is_known else None), throttle.of_place(place))
        await self._throttle.begin(counters)
        usable = account if account is not None and not account.is_disabled else None
        try:
            is_right = await self._passwords.is_right(password, usable.password if usable else None)
        except Throttled:
            await self._throttle.uncount(counters)
            raise
        used = self._used(usable, code) if usable is not None and is_right else None
        if used is None:
            await self._refused(account, "password", remote)
            raise Unauthenticated(WRONG)
        if used.password is not None and self._passwords.is_outdated(used.password):
            # Where too many wait, the next sign-in does it: nobody who was right is sent away for this.
            with suppress(Throttled):
                used = replace(used, password=await self._passwords.keep(password))
        return await self._let_in(used, "password", counters, remote, agent)

    def passkey_options(self, remote: str) -> Mapping[str, Any]:
        """Options for `navigator.credentials.get()`, JSON; the same for everybody.

        Raises:
            Refused: the console's address has no name, so browsers offer no passkeys there.
        """
        return self._passkeys.asking(remote)

    async def sign_in_with_passkey(self, answer: str | Mapping[str, Any], remote: str, agent: str) -> Session:
        """A new session for the owner of the passkey; `answer` is the credential's `toJSON()`.

        A signature cannot be guessed, so only the address is throttled: nobody's name can be used up.

        Raises:
            Unauthenticated, Throttled, Refused: as sign_in.
        """
        counters = (throttle.of_place(throttle.place_of(remote)),)
        await self._throttle.begin(counters)
        account = await self._owner_of(self._passkeys.credential_of(answer))
        try:
            used = self._passkeys.answered(answer, account)
        except Unauthenticated:
            await self._refused(account, "passkey", remote)
            raise
        return await self._let_in(used, "passkey", counters, remote, agent)

    async def sign_in_from_directory(self, person: Person, remote: str, agent: str) -> Session:
        """A new session for whom the city's own directory vouches for (oidc.py).

        Its second factor was given there and not now, so it is not a fresh one.

        Raises:
            Refused: the name has an account here, so it has one way in already; a trainee at a live node.
        """
        if await self._register.find(key_of(person.name)) is not None:
            raise Refused(f"{person.name} にはこの節点の登録があります。そちらで入ってください (has an account here)")
        await self._require_fit(person, "directory", remote)
        return await self._sessions.open(
            person, None, remote=remote, agent=agent, how="directory", second_factor_at=None
        )

    async def session(self, token: str, *, is_person: bool = True) -> Session:
        """The session of this cookie. `is_person` False where a page asks on its own (SSE): that keeps nobody signed in.

        Raises:
            Unauthenticated: none, or it has ended.
            Refused: a trainee at a live node.
        """
        session = await self._sessions.find(token, is_person=is_person)
        await self._require_fit(session.person, "session", session.remote)
        return session

    async def sign_out(self, token: str) -> None:
        """End the session of this cookie. One that has ended already is no error."""
        try:
            session = await self._sessions.find(token, is_person=False)
        except Unauthenticated:
            return
        await self._sessions.close(session.id, by=session.person.name)

    async def bearer(self, token: str) -> Bearer:
        """Who comes with this token, and what it opens.

        Raises:
            Unauthenticated: nobody.
            Refused: a trainee at a live node.
        """
        bearer = await self.tokens.find(token)
        await self._require_fit(bearer.person, "token", "")
        return bearer

    # -- the second factor, again ------------------------------------------------------------------------------------

    async def fresh_factor(self, by: Person, factor: str) -> None:
        """Make sure that this person is there now: the app's code, or a passkey's answer to `passkey_options` (JSON).

        Raises:
            Unauthenticated: it is wrong, or was used before.
            Throttled: too many were.
        """
        key = key_of(by.name)
        account = await self._register.find(key)
        counter = throttle.of_factor(key)
        await self._throttle.begin((counter,))
        used = None
        if account is not None and not account.is_disabled:
            used = self._answered(account, factor) if factor.lstrip().startswith("{") else self._used(account, factor)
        if used is None or not await self._burnt(used, "fresh"):
            await self._refused(account, "factor", "")
            raise Unauthenticated(WRONG_FACTOR)
        await self._throttle.forgive((counter,))

    async def is_fresh_factor(self, by: Person, factor: str) -> bool:
        """As fresh_factor, for the desk (緊急発表): False for what is wrong or used; Throttled is still raised."""
        try:
            await self.fresh_factor(by, factor)
        except Throttled:
            raise
        except Unauthenticated:
            return False
        return True

    async def refresh(self, session: Session, factor: str) -> Session:
        """As fresh_factor, and the session remembers it for two minutes."""
        await self.fresh_factor(session.person, factor)
        return await self._sessions.refresh(session)

    # -- looking after sessions and people ---------------------------------------------------------------------------

    async def sessions(self, by: Person) -> Sequence[Session]:
        """One's own; an admin's list has everybody's. Newest first, without tokens."""
        return [s for s in await self._sessions.all() if s.person.name == by.name or Role.ADMIN in by.roles]

    async def revoke(self, by: Person, identifier: str) -> None:
        """End a session: one's own, or any as an admin. One admin is enough, because it gives nobody anything.

        Raises:
            NotFound: none of this id that one may end.
        """
        if identifier not in {session.id for session in await self.sessions(by)}:
            raise NotFound("そのセッションはありません (no such session)")
        await self._sessions.close(identifier, by=by.name)

    async def people(self) -> Sequence[Listed]:
        """Everybody with an account, then those of the site file."""
        return [*map(listed, await self._register.all()), *map(of_site, self._site_people)]

    async def approved_templates(self) -> frozenset[str]:
        """Hashes of the templates that two admins approved for one person's use (緊急発表)."""
        return frozenset(key for key, _, _ in await self._ledger.records("approved-template"))

    async def duty_list(self) -> Sequence[str]:
        """Mail addresses; empty until two admins have set them."""
        return [address for _, _, body in await self._ledger.records("duty") for address in body["mail"]]

    async def maintenance(self) -> Mapping[str, Any] | None:
        """Who opened it, when and why; None while there is none."""
        return next((body for _, _, body in await self._ledger.records("maintenance") if body["is_open"]), None)

    # -- what they share ---------------------------------------------------------------------------------------------

    def _used(self, account: Account, typed: str) -> Account | None:
        """The account after this code, not yet written down; None if the code is not right."""
        if account.totp_secret is not None:
            step = factors.step_of(account.totp_secret, typed, self._clock.now(), after=account.totp_step)
            if step is not None:
                return replace(account, totp_step=step)
        left = factors.without(typed, account.recovery)
        return None if left is None else replace(account, recovery=left)

    def _answered(self, account: Account, answer: str) -> Account | None:
        try:
            return self._passkeys.answered(answer, account)
        except Unauthenticated:
            return None

    async def _owner_of(self, credential: str) -> Account | None:
        for account in await self._register.all():
            if not account.is_disabled and any(passkey.id == credential for passkey in account.passkeys):
                return account
        return None

    async def _burnt(self, used: Account, how: str) -> bool:
        """The factor is written down as used, before anything is given for it; False if somebody was quicker with it."""
        try:
            await self._register.save(used, Event("factor.used", "", {"by": used.name, "how": how}))
        except StaleHash:
            return False
        return True

    async def _let_in(self, used: Account, how: str, counters: Sequence[Counter], remote: str, agent: str) -> Session:
        await self._require_fit(used.person, how, remote)
        place = throttle.place_of(remote)
        places = (place, *(known for known in used.known_places if known != place))[:KNOWN_PLACES]
        if not await self._burnt(replace(used, known_places=places), how):
            await self._refused(used, how, remote)
            raise Unauthenticated(WRONG)
        await self._throttle.forgive(counters)
        now = self._clock.now()
        return await self._sessions.open(used.person, used, remote=remote, agent=agent, how=how, second_factor_at=now)

    async def _require_fit(self, person: Person, how: str, remote: str) -> None:
        """Refuse, in the chain, who may not be at a node of this mode at all: at every use, whatever let them in."""
        try:
            require_fit(person.roles, self._mode)
        except Refused:
            facts = {"name": person.name, "how": how, "remote": legible(remote, 100), "because": "trainee"}
            await self._ledger.append(Event("signin.refused", "", facts))
            raise

    async def _refused(self, account: Account | None, how: str, remote: str) -> None:
        """Evidence of a failure; what was typed as a name may be a password, so only names that exist are written."""
        facts = {"name": account.name if account else "", "how": how, "remote": legible(remote, 100)}
        await self._ledger.append(Event("signin.refused", "", facts))
