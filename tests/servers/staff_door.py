"""A real node in this process, on a loop of its own: a website, an SQLite ledger, the staff's door, and one person for each role."""

import asyncio
import http.client
import json
import threading
from pathlib import Path

import yaml

from config.site import bind_site
from dispatcher import node
from dispatcher.log import to_stderr
from dispatcher.staff.api import PREFIX
from dispatcher.staff.sessions import new_token
from drills.world.ports import free_port

PEOPLE = {
    "職員0001": ["originator"],
    "職員0002": ["approver"],
    "職員0003": ["viewer"],
    "職員0004": ["admin", "approver"],
    "職員0005": ["admin"],
}
ORDER = {"template": "evacuation-order", "areas": ["大沢"]}


class StaffDoor:
    """`start` returns when the door is open; `ask` is one request over a connection of its own."""

    def __init__(self, folder: Path, mode: str = "drill") -> None:
        self.folder = folder
        self.mode = mode
        self.tokens, staff = {}, []
        for name, roles in PEOPLE.items():
            self.tokens[name], kept = new_token()
            staff.append({"name": name, "roles": roles, "token_hash": kept})
        public, self.door = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.door}{PREFIX}"
        self.site = {
            "mode": mode,
            "node": "test",
            "state_dir": str(folder / "state"),
            "city": "mitaka",
            "residents": {"listen": public, "url": f"http://{public}"},
            "control": {"listen": self.door},
            "staff": staff,
            "channels": {"website": {"folder": str(folder / "site"), "url": f"http://{public}"}},
        }
        self._thread = None

    def start(self) -> None:
        to_stderr()
        is_open, said = threading.Event(), []

        async def serve() -> None:
            kinds = {kind: channel.Settings for kind, channel in node.kinds().items()}
            site = bind_site(yaml.safe_dump(self.site, allow_unicode=True).encode(), "site.yaml", self.folder, kinds)
            self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
            async with node.running(site) as running:
                self.node = running
                is_open.set()
                await self._stopped.wait()

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:
                said.append(error)
                raise
            finally:
                is_open.set()

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert is_open.wait(60)
        assert not said, said

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(60)

    def run(self, coroutine):
        """Something of the node's own, in its loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def ask(self, who, method, path, body=None, headers=None, data=None):
        """Status, headers, JSON body (None if there is none). `data` is a body that need not be JSON."""
        connection = http.client.HTTPConnection(self.door, timeout=60)
        sent = {"Authorization": f"Bearer {self.tokens.get(who, who)}"} if who else {}
        if data is None and body is not None:
            data = json.dumps(body, ensure_ascii=False).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, PREFIX + path, body=data, headers=sent | (headers or {}))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers, json.loads(text) if text else None
        finally:
            connection.close()

    def drafted(self, who="職員0001"):
        status, _, answer = self.ask(who, "POST", "/drafts", {"mode": self.mode, "typed": ORDER})
        assert status == 201, answer
        return answer["draft"]["identifier"]

    def submitted(self):
        identifier = self.drafted()
        status, _, answer = self.ask("職員0001", "POST", f"/drafts/{identifier}/submit", {"mode": self.mode})
        assert status == 200, answer
        return identifier, answer["hash"]

    def issued(self):
        identifier, shown = self.submitted()
        body = {"mode": self.mode, "hash": shown}
        status, _, answer = self.ask("職員0002", "POST", f"/drafts/{identifier}/approve", body)
        assert status == 200, answer
        return identifier
