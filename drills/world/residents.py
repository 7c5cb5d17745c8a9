"""Sixty households of the demo city's 大沢 and those who belong to them: they read their mail, press buttons, or do nothing.

The roster is made from a seed, and so is who answers, what, and after how long. They know nothing of the node but what reaches
them: a mail in the relay's hands, whose link they open and whose form they post; a question on the screen at home. How long people
take has a long tail (log-normal): half of them answer within five minutes.

Source: design.md §10 "residents with response-time distributions"; issue "Show 1".
"""

import asyncio
import csv
import email
import email.policy
import io
import json
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from html import unescape
from pathlib import Path

import aiohttp

from channels.ip_terminal.notice import ASK
from channels.ip_terminal.receipt import State
from dispatcher.clock import Clock
from dispatcher.model.campaign import Answer
from drills.world import email_list, ip_terminal

HOUSEHOLDS = 60
SUPPORTERS = 3
LOOK_EVERY_S = 0.1
MEDIAN_S = 300.0
SPREAD = 0.9
"""Standard deviation of the logarithm of the time until somebody answers."""
LONGEST_S = 3600.0
LANGUAGES = ("ja", "ja", "ja", "ja", "ja-x-easy", "en-US", "zh", "ko")
_LINK = re.compile(r"https?://\S+/a/[a-z2-7]{26}")
_BUTTONS: Mapping[Answer, State] = {Answer.OK: State.SAFE, Answer.HURT: State.INJURED, Answer.HELP: State.RESCUE}


class Conduct(StrEnum):
    """What becomes of somebody, and so what they do."""

    OK = "ok"
    HURT = "hurt"
    HELP = "help"
    SILENT = "silent"
    FOUND = "found"
    """Silent themselves; whoever is asked for them has seen them and says that they are well."""
    DISPUTED = "disputed"
    """Silent; of those who are asked for them one has heard this, the other that."""
    MOVED = "moved"
    """Their first mail address is refused; they answer at the second."""
    NOWHERE = "nowhere"
    """Nothing reaches them."""


_CAST = (
    (Conduct.HURT, 4),
    (Conduct.HELP, 3),
    (Conduct.SILENT, 6),
    (Conduct.FOUND, 4),
    (Conduct.DISPUTED, 2),
    (Conduct.MOVED, 2),
    (Conduct.NOWHERE, 1),
)
"""Of every sixty; all others are well and say so."""


@dataclass(slots=True)
class Resident:
    """One row of the roster and how they are."""

    row: dict[str, str]
    conduct: Conduct = Conduct.OK


@dataclass(slots=True)
class _Due:
    """Somebody who will answer."""

    at: datetime
    link: str = ""
    tid: str = ""
    mid: str = ""
    answer: Answer = Answer.OK
    saw: bool = True
    page: str = ""


@dataclass
class Residents:
    """They live while `living` is open. Made before the media's worlds open, because they have terminals and addresses there."""

    mail: email_list.World
    terminals: ip_terminal.World
    seed: int
    quarters: Mapping[str, str]
    """Names of the quarters they live in, by code."""
    clock: Clock
    said: list[dict[str, str]] = field(default_factory=list)
    """Every answer that was given, with the page that it was given on."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - simulated people, the same again for the same seed
        conducts = [conduct for conduct, count in _CAST for _ in range(count)]
        conducts += [Conduct.OK] * (HOUSEHOLDS - len(conducts))
        self._chance.shuffle(conducts)
        self.people = [self._resident(n, conduct) for n, conduct in enumerate(conducts, 1)]
        self.people += [self._supporter(n) for n in range(1, SUPPORTERS + 1)]
        self._by_name = {resident.row["name"]: resident for resident in self.people}
        self._read = 0
        self._seen: set[tuple[str, str]] = set()
        self._due: list[_Due] = []

    def roster(self) -> io.BytesIO:
        """The file that a city would import."""
        text = io.StringIO()
        columns = list(dict.fromkeys(name for resident in self.people for name in resident.row))
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(resident.row for resident in self.people)
        return io.BytesIO(text.getvalue().encode())

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Inside, they read and answer."""
        async with aiohttp.ClientSession() as browser, asyncio.TaskGroup() as group:
            task = group.create_task(self._live(browser))
            try:
                yield
            finally:
                task.cancel()

    @property
    def is_quiet(self) -> bool:
        """Everybody has read what came, and nobody is about to answer."""
        return self._read == len(self.mail.mails) and not self._due

    async def keep(self, folder: Path) -> None:
        """The page that each link showed, and what was answered on it."""
        await asyncio.to_thread(self._write, folder)

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number, said in enumerate(self.said, 1):
            if said["page"]:
                (folder / f"page-{number:04d}.html").write_text(said["page"], "utf-8")
        lines = [{name: text for name, text in said.items() if name != "page"} for said in self.said]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / "answers.jsonl").write_text(text, "utf-8")

    # -- who they are ------------------------------------------------------------------------------------------------

    def _resident(self, number: int, conduct: Conduct) -> Resident:
        name, id_ = f"住民{number:04d}", f"R{number:04d}"
        code = self._chance.choice(sorted(self.quarters))
        address = f"{self.quarters[code]}{number}番1号"
        row = {
            "person_id": id_,
            "name": name,
            "address": address,
            "quarter": code,
            "phones": f"0422-00-{number:04d}",
            "language": self._chance.choice(LANGUAGES),
            "mails": f"{id_.lower()}@example.jp",
            "relative_mails": f"{id_.lower()}-relative@example.jp",
            "cohorts": "",
            "terminal": "",
            "household": id_,
            "supporters": "",
            "consent": "有",
        }
        if number % 6 == 0:
            row |= {"cohorts": "needs_help", "supporters": f"S{number % SUPPORTERS + 1:03d}"}
        if number % 5 == 0 and conduct not in {Conduct.NOWHERE, Conduct.DISPUTED}:
            tid = f"H{number:04d}"
            self.terminals.install(tid, name, address, code)
            row |= {"terminal": tid, "mails": "" if conduct in {Conduct.OK, Conduct.HURT} else row["mails"]}
        if conduct is Conduct.NOWHERE:
            row |= {"mails": "", "relative_mails": "", "supporters": "", "terminal": ""}
        if conduct is Conduct.MOVED:
            self.mail.answers[row["mails"]] = "550 5.1.1 no such mailbox"
            row["mails"] += f" {id_.lower()}-new@example.jp"
        if conduct is Conduct.DISPUTED:
            # The head of the household, who is away, has heard something else than the relative has.
            row |= {"household": "S001", "supporters": ""}
        return Resident(row, conduct)

    def _supporter(self, number: int) -> Resident:
        """民生委員: they live in another part of the city, and are well."""
        id_ = f"S{number:03d}"
        return Resident(
            {
                "person_id": id_,
                "name": f"支援者{number:04d}",
                "address": f"下連雀三丁目{number}番1号",
                "mails": f"{id_.lower()}@example.jp",
                "language": "ja",
            }
        )

    # -- what they do ------------------------------------------------------------------------------------------------

    async def _live(self, browser: aiohttp.ClientSession) -> None:
        while True:
            for mail in self.mail.mails[self._read :]:
                await self._got(browser, mail)
                self._read += 1
            self._look_at_screens()
            now = self.clock.now()
            for one in [due for due in self._due if due.at <= now]:
                await self._answer(browser, one)
                self._due.remove(one)
            await asyncio.sleep(LOOK_EVERY_S)  # noqa: TID251 - true time: the clock here may run faster than the machine's

    async def _got(self, browser: aiohttp.ClientSession, mail: email_list.Received) -> None:
        text = email.message_from_bytes(mail.data, policy=email.policy.default).get_content()
        found = _LINK.search(text)
        if found is None:
            return
        async with browser.get(found[0]) as response:
            page = await response.text()
        to = mail.recipients[0]
        named = next((r for name, r in self._by_name.items() if name in unescape(page)), None)
        resident = named or self._of(to)
        if resident is None:
            return
        answer, saw = self._would_say(resident, to, is_own=named is None)
        if answer is not None:
            at = self._soon() if named is None else self.clock.now() + timedelta(seconds=self._chance.uniform(60, 300))
            self._due.append(_Due(at, link=found[0], answer=answer, saw=saw, page=page))

    def _of(self, address: str) -> Resident | None:
        return next((r for r in self.people if address in r.row.get("mails", "").split()), None)

    def _would_say(self, resident: Resident, to: str, *, is_own: bool) -> tuple[Answer | None, bool]:
        match resident.conduct:
            case Conduct.OK | Conduct.MOVED:
                return Answer.OK, True
            case Conduct.HURT | Conduct.HELP:
                return Answer(resident.conduct.value), True
            case Conduct.FOUND if not is_own:
                return Answer.OK, True
            case Conduct.DISPUTED if not is_own:
                return (Answer.OK if "relative" in to else Answer.HELP), False
            case _:
                return None, False

    def _look_at_screens(self) -> None:
        for resident in self.people:
            tid = resident.row.get("terminal", "")
            for shown in self.terminals.terminals[tid].shown if tid else ():
                if shown["verb"] == ASK and (tid, shown["mid"]) not in self._seen:
                    self._seen.add((tid, shown["mid"]))
                    answer, _ = self._would_say(resident, "", is_own=True)
                    if answer is not None:
                        self._due.append(_Due(self._soon(), tid=tid, mid=shown["mid"], answer=answer))

    def _soon(self) -> datetime:
        return self.clock.now() + timedelta(seconds=min(LONGEST_S, MEDIAN_S * self._chance.lognormvariate(0, SPREAD)))

    async def _answer(self, browser: aiohttp.ClientSession, due: _Due) -> None:
        said = {
            "at": self.clock.now().isoformat(),
            "answer": due.answer.value,
            "by": due.tid or "mail",
            "page": due.page,
        }
        if due.tid:
            is_said = self.terminals.terminals[due.tid].say(_BUTTONS[due.answer], due.mid)
        else:
            form = {"a": due.answer.value, "saw": "yes" if due.saw else "no"}
            async with browser.post(due.link, data=form) as response:
                is_said = response.status == 200
        if is_said:
            self.said.append(said)
