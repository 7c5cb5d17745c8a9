"""Who is asking: people of the site file, each with a token of their own that only its hash is kept of.

A token is 256 random bits, so a fast hash is enough: there is nothing to guess. It is compared in constant time.

Source: design.md §9; RFC 6750 (bearer tokens).
"""

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "todoke_"


@dataclass(frozen=True, slots=True)
class Person:
    """One at the desk, however they came in. `roles` are rules.Role; `token_hash` is SHA-256 in hex, "" for who has no token."""

    name: str
    roles: tuple[str, ...]
    token_hash: str = ""


def new_token() -> tuple[str, str]:
    """A token to hand to its owner once, and the hash to keep."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, hash_of(token)


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def one_form(name: str) -> str:
    """A name in the form in which two that look alike (全角 and half width, capitals and small letters) are the same (UAX 15)."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def is_same(name: str, other: str | None) -> bool:
    """Whether both are one person's name: a token of the site file may write it otherwise than the account does."""
    return other is not None and one_form(name) == one_form(other)


class People:
    """Those who may sit at the desk."""

    def __init__(self, people: Sequence[Person]) -> None:
        self._people = tuple(people)

    def whose(self, token: str) -> Person | None:
        """The owner of this token; every person is compared, so that the time tells nothing."""
        given = hash_of(token)
        found = [person for person in self._people if hmac.compare_digest(person.token_hash or "-", given)]
        return found[0] if found else None
