"""What the people behind the six media got, read from the receivers themselves: the words, and who has them."""

from __future__ import annotations

import csv
import email
import email.policy
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import aiohttp

from channels.ip_terminal.notice import Words
from config.cities import load
from dispatcher.clock import SystemClock
from drills.world.ip_terminal import SHELTER
from tests.browser.city import City

WITHIN_S = 10.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Item:
    """One piece that one receiver has."""

    holder: str
    """A mail address, a terminal, an operator, a station; the account or the site where everybody reads the same."""
    words: str


def received(city: City) -> Mapping[str, Sequence[Item]]:
    """By kind of medium, all that came since the city was built, the oldest first for each holder."""
    return city.run(_received(city))


async def _received(city: City) -> Mapping[str, Sequence[Item]]:
    worlds = city.worlds
    return {
        "social": [Item(post["author"], post["text"]) for post in worlds["social"].posts],
        "email_list": [
            Item(address, _letter(mail.data)) for mail in worlds["email_list"].mails for address in mail.recipients
        ],
        "cable_tv": [
            Item(machine.name, _pages((machine.received / taken["name"] / "pages.csv").read_text("utf-8")))
            for machine in worlds["cable_tv"].machines
            for taken in machine.taken
        ],
        "ip_terminal": [
            Item(tid, Words(**words).whole)
            for tid, terminal in worlds["ip_terminal"].terminals.items()
            for shown in terminal.shown
            for words in shown["words"]
        ],
        "wifi_multicast": [
            Item(path.relative_to(folder).parts[0], path.read_text("utf-8"))
            for folder in [worlds["wifi_multicast"].key.parent / "received"]
            for path in sorted(folder.rglob("notice-*.txt"))
        ],
        "website": [Item("website", text) async for text in _site(worlds["website"].url)],
    }


@cache
def _letter(data: bytes) -> str:
    read = email.message_from_bytes(data, policy=email.policy.default)
    return f"{read['Subject']}\n{read.get_content()}"


def _pages(text: str) -> str:
    return "\n".join(f"{row['head']}\n{row['text']}" for row in csv.DictReader(io.StringIO(text)))


async def _site(url: str):
    """Every CAP message that the site leads to."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/alerts.json") as answer:
            listed = await answer.json()
        for alert in listed["alerts"]:
            for message in alert["messages"]:
                async with session.get(f"{url}/{message['cap']}") as answer:
                    yield await answer.text()


def holders(city: City, quarters: Iterable[str]) -> Mapping[str, set[str]]:
    """By kind of medium, who must have a message for these quarters (by name), and nobody else."""
    inside = {q.code for q in load("mitaka").quarters.values() if q.names["ja"] in set(quarters)}
    world = city.worlds["email_list"]
    with world.subscribers.open(encoding="utf-8", newline="") as file:
        subscribers = {row["address"] for row in csv.DictReader(file) if row["quarters"] in inside}
    facilities = city.stage.site.facilities
    assert facilities is not None
    with facilities.register.open(encoding="utf-8", newline="") as file:
        first = {row["mails"].split()[0] for row in csv.DictReader(file) if row["quarter"] in inside and row["mails"]}
    shelters = [facility for facility in load("mitaka").facilities if facility.kind == SHELTER]
    terminals = {f"T{number:04d}" for number, shelter in enumerate(shelters, 1) if shelter.quarter in inside}
    return {
        "social": {city.worlds["social"].account},
        "email_list": subscribers | first,
        "cable_tv": {machine.name for machine in city.worlds["cable_tv"].machines},
        "ip_terminal": terminals,
        "wifi_multicast": {"mitaka", "mitakadai", "inokashira-koen"},
        "website": {"website"},
    }


def has_it(city: City, is_meant: Callable[[str], bool]) -> Mapping[str, set[str]]:
    """By kind of medium, who holds something with words that are meant. Where a medium breaks its lines is its own affair."""
    return {
        kind: {item.holder for item in items if is_meant("".join(item.words.split()))}
        for kind, items in received(city).items()
    }


def see_received(city: City, quarters: Iterable[str], is_meant: Callable[[str], bool]) -> None:
    """Wait until exactly those who live there have it, on every medium."""
    expected, clock = holders(city, quarters), SystemClock()
    until_s = clock.monotonic() + WITHIN_S
    while (found := has_it(city, is_meant)) != expected and clock.monotonic() < until_s:
        city.run(clock.sleep(LOOK_EVERY_S))
    assert found == expected, {k: (len(found[k]), len(expected[k])) for k in expected}
