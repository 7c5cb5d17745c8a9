"""The schools, nurseries and homes of the demo city, and somebody at each of them who reads what comes and says 確認しました.

The places are the city's own public data; who is there and how to reach them is made up, on loopback. Most have a terminal whose
button is pressed (ip_terminal.py); a care home has none and acknowledges by the link in its mail, as a person does: opens it,
reads, presses. Who does so, and after how many seconds, comes from the seed.

Source: design.md §8 "Acknowledgement"; config/cities/<name>/CREDITS.md (shelters).
"""

import asyncio
import csv
import email
import email.policy
import random
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from config.city import City
from config.facilities import COLUMNS, Kind
from dispatcher.clock import Clock
from drills.world import email_list, ip_terminal

DOMAIN = "facility.example.jp"
CONTACTS = 2
LOOK_EVERY_S = 0.2
QUICKEST_S, SLOWEST_S = 1.0, 3.0
"""From a mail until somebody has read it and presses."""
WITHIN_S = 10.0
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.NURSERY, re.compile("保育|幼稚園")),
    (Kind.SCHOOL, re.compile("小学校|中学校|高等学校|学園|大学")),
    (Kind.CARE_HOME, re.compile("ホーム|高齢者|[園苑]$")),
)
_HALL = re.compile("センター|体育館|会館")
_LINK = re.compile(r"https?://\S+/k/[a-z2-7]{26}")


@dataclass
class Facilities:
    """They act while `acting` is open."""

    state_dir: Path
    city: City
    mail: email_list.World
    terminals: ip_terminal.World
    seed: int
    clock: Clock

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - simulated people, the same again for the same seed
        self._read = 0
        self.pressed: list[str] = []
        """Links on which somebody said so."""

    def settings(self) -> Mapping[str, Any]:
        """The `facilities` block of a site file; its files are written now."""
        register, secret = self.state_dir / "facilities.csv", self.state_dir / "facilities.key"
        with register.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows())
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(48))
        return {"register": str(register), "secret": {"file": str(secret)}}

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[None]:
        """Inside, their mail is read."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(WITHIN_S)) as browser,
            asyncio.TaskGroup() as group,
        ):
            task = group.create_task(self._live(browser))
            try:
                yield
            finally:
                task.cancel()

    def _rows(self) -> list[dict[str, str]]:
        tids = {name: tid for tid, name in self.terminals.places.items()}
        rows: list[dict[str, str]] = []
        for place in self.city.facilities:
            kind = next((kind for kind, pattern in _KINDS if pattern.search(place.name)), Kind.DISABILITY)
            if place.kind != ip_terminal.SHELTER or (not place.is_welfare and kind is not Kind.SCHOOL):
                continue
            number = len(rows) + 1
            rows.append(
                {
                    "id": f"F{number:03d}",
                    "name": place.name,
                    "kind": Kind.HALL if kind is Kind.DISABILITY and _HALL.search(place.name) else kind,
                    "address": place.address,
                    "quarter": place.quarter,
                    "lat": f"{place.latitude:.6f}",
                    "lon": f"{place.longitude:.6f}",
                    "people": str(self._chance.randint(20, 400)),
                    "language": "ja",
                    "terminals": "" if kind is Kind.CARE_HOME else tids.get(place.name, ""),
                    "mails": " ".join(f"f{number:03d}-{contact}@{DOMAIN}" for contact in range(1, CONTACTS + 1)),
                    "phones": f"0422-00-{number:04d}",
                }
            )
        return [row for row in rows if row["quarter"]]

    async def _live(self, browser: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as people:
            while True:
                new, self._read = self.mail.mails[self._read :], len(self.mail.mails)
                for mail in new:
                    if mail.recipients[0].endswith(f"@{DOMAIN}") and (link := _link(mail.data)):
                        people.create_task(self._press(browser, link))
                await self.clock.sleep(LOOK_EVERY_S)

    async def _press(self, browser: aiohttp.ClientSession, link: str) -> None:
        """What a person does; where the node is not there they let it be, and the ladder goes on."""
        await self.clock.sleep(self._chance.uniform(QUICKEST_S, SLOWEST_S))
        with suppress(aiohttp.ClientError, TimeoutError):
            async with browser.get(link) as answer:
                if 'name="ack"' not in await answer.text():
                    return
            async with browser.post(link, data={"ack": "1"}) as answer:
                if answer.status == 200:
                    self.pressed.append(link)


def _link(data: bytes) -> str:
    """The 確認 link of a mail; "" where there is none."""
    text = email.message_from_bytes(data, policy=email.policy.default).get_content()
    found = _LINK.search(str(text))
    return found[0] if found else ""
