"""Passwords: kept as argon2id, checked in threads of their own. The only door to argon2-cffi.

One check takes 64 MiB and a fifth of a second on purpose. So two run at once at most, a few wait, and the rest are asked to
come again: a flood of sign-ins can slow sign-ins, never the node. A name that nobody has costs the same work as a wrong
password.

Source: RFC 9106 §4 (second recommended option, low memory); NIST SP 800-63B-4 §3.1.1; facts.md §Python.
"""

import asyncio
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import Parameters, PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from dispatcher.errors import Finding, InvalidInput, Throttled

AT_ONCE = 2
MAX_WAITING = 32
BUSY_RETRY_S = 5.0
MIN_CHARACTERS, MAX_CHARACTERS = 12, 256
_COMMON = ("password", "passw0rd", "qwerty", "12345678", "87654321", "abcdefgh", "todoke", "bousai")

T = TypeVar("T")


def require_strong(password: str, name: str, where: str = "password") -> None:
    """Say everything that is wrong with it as a new password.

    Raises:
        InvalidInput: each reason, and what is accepted. The password is in none of them.
    """
    reasons = list(_weaknesses(password, name))
    if reasons:
        raise InvalidInput([Finding(where, reason) for reason in reasons])


def _weaknesses(password: str, name: str) -> Iterator[str]:
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        yield (
            f"{MIN_CHARACTERS}文字から{MAX_CHARACTERS}文字までで決めてください "
            f"({MIN_CHARACTERS} to {MAX_CHARACTERS} characters)"
        )
        return
    if any(unicodedata.category(c) in {"Cc", "Cs"} for c in password):
        yield "制御文字は使えません (no control characters)"
    if len(set(password)) < 5:
        yield "同じ文字の繰り返しは使えません (at least five different characters)"
    plain = unicodedata.normalize("NFKC", password).casefold()
    if len(name) >= 3 and unicodedata.normalize("NFKC", name).casefold() in plain:
        yield "名前を入れないでください (must not contain your name)"
    if any(word in plain for word in _COMMON):
        yield "よくある言葉が入っています。別のものにしてください (contains a common word)"


class Passwords:
    """Makes and checks what is kept of a password. Parameters may grow over the years; `is_outdated` says who is behind."""

    def __init__(self, parameters: Parameters = RFC_9106_LOW_MEMORY) -> None:
        self._hasher = PasswordHasher.from_parameters(parameters)
        # Threads of its own, not a semaphore: a caller that is cancelled leaves its thread at work, and this still counts it.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._waiting = 0
        self.computed = 0
        """How many were worked out since the start, for the metrics."""

    async def keep(self, password: str) -> str:
        """What to keep of it.

        Raises:
            Throttled: too many are being checked at this moment.
        """
        return await self._in_turn(lambda: self._hasher.hash(_bytes(password)))

    async def is_right(self, password: str, kept: str | None) -> bool:
        """Whether it is this one's; None, of nobody: the same work, and False.

        Raises:
            Throttled: as above.
        """
        if len(password) > MAX_CHARACTERS:
            password, kept = "", None
        if kept is None:
            await self.keep(password)
            return False
        return await self._in_turn(lambda: self._matches(password, kept))

    def is_outdated(self, kept: str) -> bool:
        """Made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(kept)

    def _matches(self, password: str, kept: str) -> bool:
        try:
            return self._hasher.verify(kept, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._waiting >= AT_ONCE + MAX_WAITING:
            raise Throttled(BUSY_RETRY_S)
        self._waiting += 1
        self.computed += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _bytes(password: str) -> bytes:
    """The same bytes from every keyboard: か and ゛ typed as two are one."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
