"""What came into the mailboxes behind a relay (drills/world/email_list.py): who got how many, and the links in them."""

import email
import email.policy
import re
from collections import Counter
from email.message import EmailMessage
from urllib.parse import urlsplit

from drills.world.email_list import Received, World
from tests.servers.console import until


def recipients(world: World) -> Counter[str]:
    return Counter(mail.recipients[0] for mail in world.mails)


def parsed(mail: Received) -> EmailMessage:
    return email.message_from_bytes(mail.data, policy=email.policy.default)


def text(mail: Received) -> str:
    return str(parsed(mail).get_content())


def token(world: World, address: str) -> str:
    """The word in the 確認 link of the newest mail that this address got."""
    mail = next(m for m in reversed(world.mails) if m.recipients[0] == address)
    found = re.search(r"http://\S+/k/\S+", text(mail))
    assert found, "no link"
    return urlsplit(found[0]).path.removeprefix("/k/")


async def got(world: World, *addresses: str, times: int = 1) -> None:
    def missing() -> list[str]:
        had = recipients(world)
        return [address for address in addresses if had[address] < times]

    async def is_there() -> bool:
        return not missing()

    try:
        await until(is_there, "")
    except AssertionError:
        raise AssertionError(f"did not get {times}: {', '.join(missing())}") from None
