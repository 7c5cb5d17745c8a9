"""A node that tells facilities first, put together from the real parts, with a ladder of fractions of a second.

As a module it is a process of its own, to be killed: python -m tests.servers.told_first FOLDER DSN NODE
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Any

from config.cities import load
from config.facilities import COLUMNS, Register
from config.ladders import Kind, Ladder, Rung, Whom
from config.secret import Secret
from dispatcher.channel import Limits
from dispatcher.clock import SystemClock
from dispatcher.ledger import Event, Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.model.draft import Draft, Verb
from dispatcher.model.mode import Drill
from dispatcher.path import Path
from dispatcher.steps.accept import Typed, accept
from dispatcher.steps.render import Renderer
from dispatcher.tracking.acknowledgement import Answers, Facilities
from dispatcher.tracking.escalation import Escalation
from dispatcher.tracking.reach import ROOM, Reach
from drills.world.ports import free_port
from tests.servers.opened import SITE, opened, served

REAL = SystemClock()
SECRET = Secret("f" * 40)
LEASE_S = 1.0
STEP_S = 0.6
"""From rung to rung."""


def ladder(step_s: float = STEP_S) -> Ladder:
    """As config/ladders/acknowledgement.yaml, faster."""
    whom = [Whom.SELF, Whom.NEXT, Whom.NEXT, Whom.STAFF]
    rungs = tuple(Rung(rung=n, after=n * step_s, whom=(who,)) for n, who in enumerate(whom))
    return Ladder(title={"ja": "施設の確認", "en": "Facilities"}, kind=Kind.ACKNOWLEDGEMENT, rungs=rungs)


def line(id_: str, **changes: str) -> str:
    """One line of a register: a nursery of 大沢 with three mail contacts and a telephone."""
    row = {
        "id": id_,
        "name": f"施設{id_}",
        "kind": "nursery",
        "address": "三鷹市大沢1-1-1",
        "quarter": "132040301",
        "lat": "",
        "lon": "",
        "people": "60",
        "language": "",
        "terminals": "",
        "mails": " ".join(f"{id_.lower()}-{n}@example.jp" for n in range(3)),
        "phones": "0422-00-0001",
    }
    return ",".join((row | changes)[name] for name in COLUMNS)


def register(folder: Folder, *lines: str) -> Folder:
    path = folder / "facilities.csv"
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", "utf-8")
    return path


@dataclass(frozen=True, slots=True)
class ToldFirst:
    path: Path[Drill]
    ledger: Ledger
    reach: Reach
    facilities: Facilities
    room: Escalation[Drill]

    async def issue(self, identifier: str, verb: Verb = Verb.ISSUE, of: str | None = None) -> None:
        """An evacuation order for 大沢, or what follows one."""
        before = Draft.from_body(*await self.ledger.draft(of)) if of else None
        typed = (
            Typed(template="evacuation-order", areas=("大沢",))
            if of is None
            else Typed(areas=("大沢",), verb=verb, of=of, note="区域の誤り")
        )
        draft = accept(
            typed,
            city=self.path.city,
            mode=Drill,
            now=REAL.now(),
            author="職員0001",
            identifier=identifier,
            before=before,
        )
        await self.ledger.save_draft(identifier, 0, draft.body(), Event("draft.written", identifier))
        draft = Draft.from_body(*await self.ledger.draft(identifier))
        await self.path.issue(draft, by="職員0002")


@asynccontextmanager
async def told_first(
    folder: Folder, channels: Mapping[str, Mapping[str, Any]], *, dsn: str, node: str = "test", step_s: float = STEP_S
) -> AsyncIterator[ToldFirst]:
    """Inside, the outbox runs. The register is `folder`/facilities.csv."""
    city = load("mitaka")
    async with (
        open_ledger(dsn, mode=Drill, node=node, clock=REAL, lease_s=LEASE_S, beat_s=LEASE_S / 4) as ledger,
        opened(folder, channels, ledger, node, clock=REAL, city=city, answers=Answers()) as media,
    ):
        path = Path(Drill, city, media, ledger, REAL, "test@localhost", SITE, Renderer(media))
        reach = Reach(ledger, Register(folder / "facilities.csv", city.quarters), city, media)
        facilities = Facilities(ledger, reach, SECRET, REAL)
        room = Escalation(ledger, reach, facilities, media, ladder(step_s), path.rendering, REAL, SITE)
        path.rooms[ROOM] = room
        path.foremost.append(room)
        async with served(ledger, media, Limits(concurrency=16), path.attempt):
            yield ToldFirst(path, ledger, reach, facilities, room)


async def main(folder: Folder, dsn: str, node: str) -> None:
    channels = json.loads((folder / "channels.json").read_text())
    # Of the node that was killed nobody unlinked the listener, so each start has a port of its own.
    channels["email_list"]["listen"] = f"127.0.0.1:{free_port()}"
    async with told_first(folder, channels, dsn=dsn, node=node) as city:
        if not await city.ledger.alerts():
            await city.issue("order-1")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(Folder(sys.argv[1]), sys.argv[2], sys.argv[3]))
