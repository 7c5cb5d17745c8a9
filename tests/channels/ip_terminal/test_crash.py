"""A node killed in the middle of a burst to every shelter, a fifth of which has no power: nothing is lost, nobody is told twice."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from config.cities import load
from dispatcher.staff.sessions import new_token
from drills.staff import APPROVER, SUBMITTER, Staff, is_settled
from drills.world.ip_terminal import World
from drills.world.ports import free_port

WITHIN_S = 60.0
ORDER = {"template": "evacuation-order", "areas": ["三鷹市"], "cause": "野川の水位が上がり、氾濫のおそれがあります", "hazard": "flood"}  # fmt: skip


async def until(condition) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.to_thread(int)


@asynccontextmanager
async def serving(file: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dispatcher", "serve", str(file), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    assert node.returncode is None
                    await asyncio.to_thread(int)
        yield node
    finally:
        if node.returncode is None:
            node.send_signal(signal.SIGKILL)
        await node.wait()


async def test_kill_9_in_the_burst_loses_no_notice_and_no_confirmed_receipt(tmp_path):
    folder = tmp_path / "world"
    folder.mkdir()
    tokens = {name: new_token() for name in (SUBMITTER, APPROVER)}
    control = free_port()
    async with World(folder, load("mitaka"), seed=7) as world:
        for terminal in world.terminals.values():
            terminal.auto_acknowledge_s = 0.2
        site = tmp_path / "site.yaml"
        described = {
            "mode": "drill", "node": "n", "state_dir": "state", "city": "mitaka",
            "residents": {"listen": f"127.0.0.1:{free_port()}", "url": "http://127.0.0.1"},
            "control": {"listen": f"127.0.0.1:{control}"},
            "staff": [
                {"name": name, "roles": [role], "token_hash": tokens[name][1]}
                for name, role in ((SUBMITTER, "originator"), (APPROVER, "approver"))
            ],
            "channels": {"ip_terminal": {**world.settings(), "wait": "1 s"}},
        }  # fmt: skip
        site.write_text(yaml.safe_dump(described, allow_unicode=True))
        staff = Staff(f"http://127.0.0.1:{control}", {name: token for name, (token, _) in tokens.items()})
        tids = list(world.terminals)
        away = set(tids[::5])
        for number, tid in enumerate(tids):
            if tid in away:
                world._running[number].cancel()
        there = [t for tid, t in world.terminals.items() if tid not in away]
        async with serving(site, control) as node:
            await until(lambda: all(t.connected.is_set() for t in there))
            issued = await staff.order(ORDER)
            await until(lambda: any(t.shown for t in there))
            node.send_signal(signal.SIGKILL)
            await node.wait()
        assert not any(world.terminals[tid].shown for tid in away)
        async with serving(site, control), asyncio.TaskGroup() as group:
            back = [group.create_task(world.terminals[tid].run()) for tid in away]
            board, is_done = await staff.watch(issued.identifier, is_settled)
            assert is_done, board
            [line] = board["channels"]
            assert (line["taken"], line["acknowledged"], line["failed"]) == (72, 72, 0)
            shown = Counter(tid for tid, t in world.terminals.items() for _ in t.shown)
            assert shown == dict.fromkeys(tids, 1)
            await until(lambda: not any(t._unacknowledged for t in world.terminals.values()))
            for task in back:
                task.cancel()
