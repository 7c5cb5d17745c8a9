"""Facilities that must act first: told before the public on two media, until a person there has acknowledged."""

import email
import email.policy
import re
from collections import Counter
from urllib.parse import urlsplit

import pytest

from config.cities import load
from drills.world.email_list import World
from tests.servers.console import until
from tests.servers.told_first import line, register, told_first

NEVER_S = 3600.0
"""From rung to rung, where no rung is wanted."""


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path / "world", load("mitaka"), 1) as world:
        yield world


@pytest.fixture
def city(tmp_path, world):
    """Makes the node, with this relay, on a ledger of its own."""

    def made(*lines, step_s=NEVER_S, dsn=None):
        register(tmp_path, *lines)
        return told_first(
            tmp_path,
            {"email_list": dict(world.settings())},
            dsn=dsn or f"sqlite:///{tmp_path / 'todoke.db'}",
            step_s=step_s,
        )

    return made


def recipients(world):
    return Counter(mail.recipients[0] for mail in world.mails)


def text(mail):
    return email.message_from_bytes(mail.data, policy=email.policy.default).get_content()


def token(world, address):
    """The word in the link of the newest mail that this address got."""
    mail = next(m for m in reversed(world.mails) if m.recipients[0] == address)
    return urlsplit(re.search(r"http://\S+/k/\S+", text(mail))[0]).path.removeprefix("/k/")


async def told(world, address):
    await until(lambda: _has(world, address), f"{address} got a mail")


async def _has(world, address):
    return address in recipients(world)


async def test_a_facility_is_told_before_the_public_and_with_a_link_of_its_own(city, world):
    async with city(line("F001"), line("F002", quarter="132040101", address="三鷹市井口1-1-1")) as node:
        await node.issue("order-1")
        await told(world, "f001-0@example.jp")
        await until(lambda: _all_taken(node), "everybody has it")
        assert world.mails[0].recipients == ("f001-0@example.jp",)
        assert recipients(world)["f001-0@example.jp"] == 1
        assert not {"f001-1@example.jp", "f002-0@example.jp"} & recipients(world).keys()
        links = {link for mail in world.mails for link in re.findall(r"/k/\S+", text(mail))}
        assert len(links) == 1


async def _all_taken(node):
    return all(t.taken == t.destinations for t in await node.ledger.tally("order-1") if t.destinations)
