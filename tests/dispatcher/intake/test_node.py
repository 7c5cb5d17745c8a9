"""A whole node with an `intake` in its site file: what comes in stands on the desk, and nothing goes out."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml

from config.site import bind_site
from dispatcher import node
from dispatcher.clock import SystemClock
from dispatcher.model.draft import State
from dispatcher.staff.sessions import Person, new_token
from drills.world.ports import free_port
from tests.dispatcher.intake.telegrams import MITAKA, R06_RAIN, Weather

VIEWER = Person("職員0002", ("viewer",))
ROLES = {"職員0001": ["originator"], "職員0002": ["approver"], "県の電文": ["intake"]}


@asynccontextmanager
async def running(folder: Path, mode: str):
    public, door = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    tokens = {name: new_token() for name in ROLES}
    site = {
        "mode": mode,
        "node": "test",
        "state_dir": str(folder / "state"),
        "city": "mitaka",
        "residents": {"listen": public, "url": f"http://{public}"},
        "control": {"listen": door},
        "staff": [{"name": n, "roles": roles, "token_hash": tokens[n][1]} for n, roles in ROLES.items()],
        "channels": {"website": {"folder": str(folder / "site"), "url": f"http://{public}"}},
        "intake": {"folders": [{"path": str(folder / "inbox"), "every": "100 ms"}], "post": {}},
    }
    (folder / "inbox").mkdir(exist_ok=True)
    kinds = {kind: channel.Settings for kind, channel in node.kinds().items()}
    bound = bind_site(yaml.safe_dump(site, allow_unicode=True).encode(), "site.yaml", folder, kinds)
    async with node.running(bound) as up, aiohttp.ClientSession() as session:
        yield up, f"http://{door}/intake", {name: given for name, (given, _) in tokens.items()}, session


def drop(folder: Path, name: str, telegram: Weather) -> None:
    (folder / "inbox" / f".{name}").write_bytes(telegram.xml())
    (folder / "inbox" / f".{name}").rename(folder / "inbox" / name)


async def test_a_file_and_a_post_become_drafts_of_one_node(tmp_path):
    now = SystemClock().now().replace(microsecond=0)
    warning = Weather(title=R06_RAIN, reported=now, says=((MITAKA, (("レベル４大雨危険警報", "43", "発表"),)),))
    async with running(tmp_path, "live") as (up, url, tokens, session), asyncio.timeout(20):
        drop(tmp_path, "a.xml", warning)
        seen = 0
        while not (drafts := (await up.desk.status(VIEWER))[0]):
            seen = await up.ledger.changed(seen, 1.0)
        assert [(d.template, d.author, d.state) for d in drafts] == [("weather-danger-warning", "intake", State.DRAFT)]
        drill = Weather(title=R06_RAIN, reported=now, status="訓練")
        asked = {"Content-Type": "application/xml", "Authorization": f"Bearer {tokens['県の電文']}"}
        async with session.post(url, data=drill.xml(), headers=asked) as answer:
            assert (answer.status, (await answer.json())["decision"]) == (200, "ignored")
        asked["Authorization"] = f"Bearer {tokens['職員0001']}"
        async with session.post(url, data=warning.xml(), headers=asked) as answer:
            assert answer.status == 403
        assert not await up.ledger.alerts()
        assert [p.name for p in (tmp_path / "inbox").iterdir()] == ["a.xml"]  # the folder is the receiver's


async def test_a_drill_node_reads_the_drill_of_the_same_folder(tmp_path):
    (tmp_path / "inbox").mkdir()
    now = SystemClock().now().replace(microsecond=0)
    drop(tmp_path, "real.xml", Weather(reported=now))
    drop(tmp_path, "drill.xml", Weather(reported=now, status="訓練"))
    async with running(tmp_path, "drill") as (up, _, _, _), asyncio.timeout(20):
        seen = 0
        while not (drafts := (await up.desk.status(VIEWER))[0]):
            seen = await up.ledger.changed(seen, 1.0)
        _, prepared = await up.desk.preview(VIEWER, drafts[0].identifier)
        assert len(drafts) == 1
        assert all(
            t.words.startswith("【訓練】") for r in prepared.renderings.values() for t in r.texts if t.language == "ja"
        )
