"""A node that tells facilities first, put together from the real parts, with a ladder of fractions of a second.

As a module it is a process of its own, to be killed: python -m tests.servers.told_first FOLDER DSN NODE
"""

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Any

import yaml

from config.cities import load
from config.facilities import COLUMNS, Register
from config.ladders import Kind, Ladder, Rung, Whom
from config.secret import Secret
from config.site import bind_site
from dispatcher.channel import Limits, Surroundings
from dispatcher.clock import SystemClock
from dispatcher.ledger import Event, Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.model.draft import Draft, Verb
from dispatcher.model.mode import Drill
from dispatcher.path import Path
from dispatcher.steps.accept import Typed, accept
from dispatcher.steps.dispatch import CLOCK
from dispatcher.steps.render import Renderer
from dispatcher.tracking.acknowledgement import Acknowledgements, Answers, Facilities, Returned
from dispatcher.tracking.escalation import Escalation
from dispatcher.tracking.reach import ROOM, Reach
from drills.world.ports import free_port

REAL = SystemClock()
SITE = "http://127.0.0.1:9"
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
    address = f"127.0.0.1:{free_port()}"
    described = {
        "mode": "drill",
        "node": node,
        "state_dir": "state",
        "city": "mitaka",
        "residents": {"listen": address, "url": f"http://{address}"},
        "channels": dict(channels),
    }
    # Not by way of node.py: a process that is killed after a second should not spend it on reading the console.
    classes = {kind: importlib.import_module(f"channels.{kind}").Kind for kind in channels}
    settings = {kind: each.Settings for kind, each in classes.items()}
    site = bind_site(yaml.safe_dump(described, allow_unicode=True).encode(), "site.yaml", folder, settings)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            open_ledger(dsn, mode=Drill, node=node, clock=REAL, lease_s=LEASE_S, beat_s=LEASE_S / 4)
        )
        opened: dict[str, Any] = {}
        returned = Returned()
        for kind, each in site.channels.items():
            state = folder / node / kind
            state.mkdir(parents=True, exist_ok=True)
            opened[kind] = classes[kind](Drill, each, Surroundings(REAL, city, state, SITE, node))
            await stack.enter_async_context(opened[kind].open(Acknowledgements(ledger, kind, returned, Answers())))
        path = Path(Drill, city, opened, ledger, REAL, "test@localhost", SITE, Renderer(opened))
        reach = Reach(ledger, Register(folder / "facilities.csv", city.quarters), city, opened)
        facilities = Facilities(ledger, reach, SECRET, REAL)
        room = Escalation(ledger, reach, facilities, opened, ladder(step_s), path.rendering, REAL, SITE)
        path.rooms[ROOM] = room
        path.foremost.append(room)
        lanes = {CLOCK: Limits(concurrency=16), **{kind: channel.limits for kind, channel in opened.items()}}
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(ledger.run(lanes, path.attempt))
        try:
            yield ToldFirst(path, ledger, reach, facilities, room)
        finally:
            running.cancel()


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
