"""Signing up, changing and leaving by a sealed link that is good for a day: the link carries whose it is and what they asked.

So nothing is kept of whoever did not open it, nobody is signed up by a stranger, and a flood of requests fills no table. What a
flood could do is send mail to strangers: each address gets few links a day, each client few an hour, and all together no more
than a bound.

Source: design.md §8; RFC 8058 §3 (leaving stays one click); issue "throttled by address and by client", "list bombing".
"""

import asyncio
import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from channels.email_list import invitation
from channels.email_list.post import Post
from channels.email_list.register import Register
from channels.email_list.restraint import Restraint
from channels.email_list.subscribers import Subscriber, is_address
from config.city import City
from config.secret import Secret
from dispatcher.clock import Clock
from dispatcher.errors import Throttled
from dispatcher.listening import block
from dispatcher.model.mode import Mode
from dispatcher.model.topic import Topic
from dispatcher.residents.registration import Choice, Opened
from dispatcher.sealing import Box, Unopened

GOOD_FOR = timedelta(hours=24)
OF_ADDRESS, OF_CLIENT, OF_ALL = 3, 20, 6_000
"""Links to one address in a day, for one client in an hour; for all in an hour, by web and by mail, neither at the other's cost."""
DAY_S, HOUR_S = 86_400.0, 3_600.0
LONGEST_SEALED = 4_096
PURPOSE = "todoke mail registration 1"


class Enrolment:
    """What the residents' pages and an empty mail ask for (dispatcher/residents/registration.py `Register`)."""

    def __init__(
        self,
        register: Register,
        post: Post,
        secret: Secret,
        *,
        city: City,
        mode: type[Mode],
        site_url: str,
        clock: Clock,
    ) -> None:
        self._register = register
        self._post = post
        self._secret = secret
        self._city = city
        self._mode = mode
        self._site_url = site_url
        self._clock = clock
        self._of_address = Restraint(OF_ADDRESS, DAY_S, clock)
        self._of_client = Restraint(OF_CLIENT, HOUR_S, clock)
        self._of_all = Restraint(OF_ALL, HOUR_S, clock)

    def is_address(self, text: str) -> bool:
        """As the protocol says."""
        return is_address(text)

    async def invite(self, address: str, choice: Choice | None, language: str, client: str) -> None:
        """As the protocol says."""
        if wait_s := self._of_client.wait_s(block(client)):
            raise Throttled(wait_s)
        self._send(address, choice, language)

    def answer(self, address: str, message_id: str) -> None:
        """To an empty mail: the link, as a reply. Nothing, where this address had its share."""
        if is_address(address):
            self._send(address, None, "", answers=message_id, is_reply=True)

    def _send(
        self, address: str, choice: Choice | None, language: str, *, answers: str = "", is_reply: bool = False
    ) -> None:
        """Whoever had their share gets nothing more today, and the one who asks sees no difference.

        Raises:
            Throttled: too many for all.
        """
        address = canonical(address)
        if self._of_address.wait_s(address.lower()):
            return
        if wait_s := self._of_all.wait_s("mail" if is_reply else "web"):
            raise Throttled(wait_s)
        now = self._clock.now()
        link = f"{self._site_url}/m/{self._sealed(address, choice, now)}"
        mark = self._mode.banner(language or "ja")
        city = self._city.names["ja" if language.startswith("ja") or not language else "en-US"]
        subject, lines = invitation.written(link, language, city, mark)
        if not self._post.put(address, subject, lines, now, answers=answers, is_reply=is_reply):
            raise Throttled(60.0)

    async def opened(self, token: str) -> Opened | None:
        """As the protocol says."""
        found = self._unsealed(token)
        if found is None:
            return None
        address, asked = found
        entry = await asyncio.to_thread(self._register.entry, address)
        known = None
        if entry is not None:
            quarters = tuple(code for code in entry.quarters if code in self._city.quarters)
            known = Choice(quarters, tuple(map(Topic, entry.topics)), entry.language.removesuffix("-US"))
        return Opened(address, asked or known, is_registered=known is not None)

    async def enrol(self, token: str, choice: Choice) -> bool:
        """As the protocol says."""
        found = self._unsealed(token)
        if found is None:
            return False
        person = Subscriber(found[0], choice.quarters, choice.language, tuple(topic.value for topic in choice.topics))
        await asyncio.to_thread(self._register.enrol, [person])
        return True

    async def leave(self, token: str) -> bool:
        """As the protocol says."""
        found = self._unsealed(token)
        if found is None:
            return False
        await asyncio.to_thread(self._register.leave, found[0])
        return True

    def _sealed(self, address: str, choice: Choice | None, now: datetime) -> str:
        asked = [list(choice.quarters), list(choice.topics), choice.language] if choice else None
        said = json.dumps([address, int((now + GOOD_FOR).timestamp()), asked], separators=(",", ":")).encode()
        box = Box(self._secret.reveal().encode(), PURPOSE)
        return base64.urlsafe_b64encode(box.close(zlib.compress(said, 9), b"")).decode().rstrip("=")

    def _unsealed(self, token: str) -> tuple[str, Choice | None] | None:
        """Whose it is and what they asked for; only what we sealed ourselves is ever unpacked."""
        now = self._clock.now()
        said = None
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            return None
        if len(sealed) > LONGEST_SEALED:
            return None
        for secret in self._secret.believed(now):
            try:
                said = Box(secret.encode(), PURPOSE).open(sealed, b"")
            except Unopened:
                continue
            break
        if said is None:
            return None
        address, until_s, asked = json.loads(zlib.decompress(said))
        if now.timestamp() >= until_s:
            return None
        return address, _choice(asked) if asked else None


def canonical(address: str) -> str:
    """As it is kept: the domain in small letters; the part before it is the receiver's own business (RFC 5321 §2.4)."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def _choice(asked: Sequence[object]) -> Choice:
    quarters, topics, language = asked
    assert isinstance(quarters, list)
    assert isinstance(topics, list)
    return Choice(tuple(quarters), tuple(map(Topic, topics)), str(language))
