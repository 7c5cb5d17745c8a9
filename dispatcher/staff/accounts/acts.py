"""What an admin may propose, each act with what it needs, how it is checked, and what it does once two admins have said yes.

Every `apply` may be run twice and comes to the same: a node that stops between the second yes and the deed is asked again.

Source: design.md §9 "an admin act is a proposal that a second admin approves"; NIST SP 800-53 AC-3(2) (dual authorization).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.accounts.names import named
from dispatcher.staff.accounts.own import enrolment
from dispatcher.staff.accounts.register import Account, Register, new_account
from dispatcher.staff.accounts.roles import MACHINES, require_roles
from dispatcher.staff.accounts.tokens import MAX_MACHINE_DAYS, Tokens
from dispatcher.staff.rules import Role

MAX_DUTY = 100
_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")


class AdminAct(StrEnum):
    """What is proposed."""

    ADD = "add"
    REMOVE = "remove"
    DISABLE = "disable"
    ENABLE = "enable"
    ROLES = "roles"
    RESET = "reset"
    """Take away password, app and passkeys; a new enrolment code is handed out."""
    TOKEN = "token"  # noqa: S105 - the word, not one
    """A machine's token (intake, metrics)."""
    TEMPLATE = "template"
    """This template, with exactly this hash, may be sent by one person alone (緊急発表)."""
    DUTY = "duty"
    """Who is mailed when something fails or waits."""
    MAINTENANCE = "maintenance"
    """Open or close a time in which work is done on the node."""


@dataclass(frozen=True, slots=True)
class Form:
    """An act in words, and its fields with their types."""

    words: str
    fields: Mapping[str, type]


FORMS: Mapping[AdminAct, Form] = MappingProxyType(
    {
        AdminAct.ADD: Form("人を加える (add a person)", {"name": str, "roles": list}),
        AdminAct.REMOVE: Form("人を外す (remove a person)", {"name": str}),
        AdminAct.DISABLE: Form("人を止める (disable a person)", {"name": str}),
        AdminAct.ENABLE: Form("止めた人を戻す (enable a person)", {"name": str}),
        AdminAct.ROLES: Form("役割を変える (change roles)", {"name": str, "roles": list}),
        AdminAct.RESET: Form("認証をやり直す (reset a person's factors)", {"name": str}),
        AdminAct.TOKEN: Form("機械の鍵を出す (issue a machine's token)", {"title": str, "scopes": list, "days": int}),
        AdminAct.TEMPLATE: Form("ひな型を承認する (approve a template)", {"template": str, "hash": str}),
        AdminAct.DUTY: Form("当番の宛先を変える (change the duty list)", {"mail": list}),
        AdminAct.MAINTENANCE: Form("保守時間を始める・終える (maintenance)", {"is_open": bool, "reason": str}),
    }
)


def shaped(act: str, what: Mapping[str, Any]) -> tuple[AdminAct, dict[str, Any]]:
    """The act and its fields.

    Raises:
        InvalidInput: an unknown act; every field that is missing, unknown or of another type.
    """
    if act not in FORMS:
        reason = f"{act[:40]!r} はありません。あるのは {', '.join(FORMS)} (no such act)"
        raise InvalidInput([Finding("act", reason)])
    fields = FORMS[AdminAct(act)].fields
    findings = [
        Finding(f"what.{name[:40]}", f"ない項目です。あるのは {', '.join(fields)} (unknown field)")
        for name in what.keys() - fields.keys()
    ]
    for name, kind in fields.items():
        value = what.get(name)
        if type(value) is not kind:
            findings.append(Finding(f"what.{name}", f"{_KINDS[kind]} がいります (missing, or of another type)"))
        elif isinstance(value, list) and not all(isinstance(item, str) and len(item) <= 320 for item in value):
            findings.append(Finding(f"what.{name}", "文字列の並びがいります (a list of strings)"))
        elif isinstance(value, str) and not _is_one_line(value):
            findings.append(Finding(f"what.{name}", "500文字までの一行がいります (one line, 500 characters at most)"))
    if findings:
        raise InvalidInput(findings)
    return AdminAct(act), dict(what)


def _is_one_line(value: str) -> bool:
    return bool(value.strip()) and len(value) <= 500 and value.replace("\u3000", " ").isprintable()


_KINDS: Mapping[type, str] = {str: "文字列 (text)", list: "並び (a list)", int: "整数 (a number)", bool: "true / false"}


class Acts:
    """What the acts do, on one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock, register: Register, tokens: Tokens, mode_name: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._register = register
        self._tokens = tokens
        self._mode = mode_name
        self._applied: Mapping[AdminAct, Callable[[Mapping[str, Any], Mapping[str, str]], Awaitable[str]]] = {
            AdminAct.ADD: self._add,
            AdminAct.REMOVE: self._remove,
            AdminAct.DISABLE: self._disable,
            AdminAct.ENABLE: self._enable,
            AdminAct.ROLES: self._roles,
            AdminAct.RESET: self._reset,
            AdminAct.TOKEN: self._token,
            AdminAct.TEMPLATE: self._template,
            AdminAct.DUTY: self._duty,
            AdminAct.MAINTENANCE: self._maintenance,
        }

    async def check(self, act: AdminAct, what: Mapping[str, Any]) -> None:
        """Say now what would stop it later.

        Raises:
            InvalidInput, NotFound, Refused: why it cannot be done as things stand.
        """
        if "roles" in what:
            require_roles(what["roles"], self._mode)
        if act is AdminAct.ADD:
            name, key = named(what["name"])
            if await self._register.find(key) is not None:
                reason = f"{name} はもう登録されています (there is somebody of this name)"
                raise InvalidInput([Finding("what.name", reason)])
        elif "name" in what:
            account = await self._register.of_name(what["name"])
            is_last = act in {AdminAct.REMOVE, AdminAct.DISABLE, AdminAct.RESET} or (
                act is AdminAct.ROLES and Role.ADMIN not in what["roles"]
            )
            if is_last and account.is_admin:
                await self._register.require_two_admins(account)
        elif act is AdminAct.TOKEN:
            Tokens.checked(what["title"], what["scopes"], what["days"], allowed=MACHINES, max_days=MAX_MACHINE_DAYS)
        elif act is AdminAct.TEMPLATE and not re.fullmatch(r"[0-9a-f]{64}", what["hash"]):
            raise InvalidInput([Finding("what.hash", "16進64桁がいります (64 hexadecimal digits)")])
        elif act is AdminAct.DUTY:
            _require_mail(what["mail"])

    async def apply(self, act: AdminAct, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        """Do it; returns what is to be handed over once (an enrolment code, a token), or "".

        `by` names both admins, for the event.
        """
        await self.check_again(act, what)
        return await self._applied[act](what, by)

    async def check_again(self, act: AdminAct, what: Mapping[str, Any]) -> None:
        """What was right when it was proposed may not be now; what this very act has done already does not stop it."""
        is_done = act in {AdminAct.ADD, AdminAct.REMOVE}
        try:
            await self.check(act, what)
        except (InvalidInput, NotFound):
            if not is_done:
                raise

    async def _change(self, account: Account, name: str, by: Mapping[str, str], **facts: Any) -> None:
        await self._register.save(account, Event(name, "", {**by, "name": account.name, **facts}))

    async def _add(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        code, waiting = enrolment(self._clock.now())
        account = new_account(what["name"], what["roles"], self._clock.now())
        there = await self._register.find(account.key)
        if there is not None and (there.enrolment is None or there.roles != account.roles):
            raise Refused(f"{there.name} はもう登録されています (there is somebody of this name)")
        account = replace(there or account, enrolment=waiting)
        await self._change(account, "account.added", by, roles=list(account.roles))
        return code

    async def _remove(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        _, key = named(what["name"])
        account = await self._register.find(key)
        if account is not None:
            await self._register.remove(account, Event("account.removed", "", {**by, "name": account.name}))
        return ""

    async def _disable(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        account = await self._register.of_name(what["name"])
        await self._change(replace(account, is_disabled=True, epoch=account.epoch + 1), "account.disabled", by)
        return ""

    async def _enable(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        account = await self._register.of_name(what["name"])
        await self._change(replace(account, is_disabled=False), "account.enabled", by)
        return ""

    async def _roles(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        account = await self._register.of_name(what["name"])
        roles = require_roles(what["roles"], self._mode)
        changed = replace(account, roles=roles, epoch=account.epoch + 1)
        await self._change(changed, "account.roles_changed", by, roles=list(roles), before=list(account.roles))
        return ""

    async def _reset(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        account = await self._register.of_name(what["name"])
        code, changed = reset(account, self._clock.now())
        await self._change(changed, "account.reset", by)
        return code

    async def _token(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        names = f"{by['proposed_by']}, {by['by']}"
        return await self._tokens.issue_machine(what["title"], what["scopes"], what["days"], by=names)

    async def _template(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        await self._stand("approved-template", what["hash"], {**what, **by}, "template.approved", {**what, **by})
        return ""

    async def _duty(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        # Addresses of people stay out of the chain, which is kept for good and copied to places.
        await self._stand("duty", "list", {**what, **by}, "duty.changed", {**by, "count": len(what["mail"])})
        return ""

    async def _maintenance(self, what: Mapping[str, Any], by: Mapping[str, str]) -> str:
        name = "maintenance.opened" if what["is_open"] else "maintenance.closed"
        body = {**what, **by, "at": self._clock.now().isoformat()}
        await self._stand("maintenance", "now", body, name, {**by, "reason": what["reason"]})
        return ""

    async def _stand(self, kind: str, key: str, body: Mapping[str, Any], name: str, facts: Mapping[str, Any]) -> None:
        try:
            version, _ = await self._ledger.read_record(kind, key)
        except NotFound:
            version = 0
        await self._ledger.save_record(kind, key, version, body, Event(name, "", facts))


def reset(account: Account, now: datetime) -> tuple[str, Account]:
    """A new enrolment code, and the account with nothing left of what opened it."""
    code, waiting = enrolment(now)
    return code, replace(
        account,
        password=None,
        totp_secret=None,
        totp_step=0,
        recovery=(),
        passkeys=(),
        known_places=(),
        enrolment=waiting,
        epoch=account.epoch + 1,
    )


def _require_mail(addresses: list[str]) -> None:
    findings = [
        Finding(f"what.mail[{n}]", f"{address[:80]!r} はメールアドレスではありません (no mail address)")
        for n, address in enumerate(addresses[:MAX_DUTY])
        if not _MAIL.fullmatch(address)
    ]
    if len(addresses) > MAX_DUTY:
        findings.append(Finding("what.mail", f"{MAX_DUTY}件までです (at most {MAX_DUTY})"))
    if findings:
        raise InvalidInput(findings)
