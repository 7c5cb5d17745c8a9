"""A headquarters that asks a quarter whether it is safe: `todoke serve` in a process of its own, spoken to over HTTP alone.

What residents' links are is derived here as the node derives it: from the site's key, and from the campaign's in its ledger.
"""

import base64
import http.client
import json
import resource
import sqlite3
from contextlib import closing, contextmanager
from urllib.parse import urlencode

import yaml

from channels.ip_terminal.register import write
from config.secret import Secret
from dispatcher.campaigns import Campaign
from dispatcher.clock import SystemClock
from dispatcher.staff.api import PREFIX
from dispatcher.staff.sessions import new_token
from dispatcher.tracking.confirmation.keys import KeyRing, Keys
from dispatcher.tracking.roster.sealing import RosterSeal
from drills.world.ports import free_port
from tests.servers.headquarters import Headquarters
from tests.servers.inside import private
from tests.servers.mqtt import registered

KEY = "the site's key of thirty-two letters"
ASKING = {"mode": "drill", "areas": ["大沢"], "kind": "safety"}
WITHIN_S = 30.0
WRITER, APPROVER, WELFARE = "職員0001", "職員0002", "福祉0001"
CLOCK = SystemClock()


class City(Headquarters):
    """With a safety loop; spoken to over HTTP, by staff and by residents."""

    def __init__(self, folder):
        super().__init__(folder)
        self.site = folder / "site"
        site = yaml.safe_load(self.file.read_text("utf-8"))
        self.tokens[WELFARE], kept = new_token()
        site["staff"].append({"name": WELFARE, "roles": ["welfare"], "token_hash": kept})
        site["safety"] = {"key": {"file": str(private(folder / "safety", KEY))}}
        self.terminals = free_port()
        write(folder / "terminals.csv", [registered("T0001")])
        site["channels"]["ip_terminal"] = {
            "listen": f"127.0.0.1:{self.terminals}",
            "register": str(folder / "terminals.csv"),
            "wait": "1 s",
            "signing_key": {"file": str(private(folder / "signing", "5a" * 32))},
        }
        self.file.write_text(yaml.safe_dump(site, allow_unicode=True), "utf-8")

    def ask(self, who, method, path, body=None):
        """Status and answer of the API."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        status, text = self._sent(self.door, method, PREFIX + path, data, headers)
        return status, json.loads(text)

    def tap(self, token, answer):
        """Status and page."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        residents = self.url.removeprefix("http://")
        return self._sent(residents, "POST", f"/a/{token}", urlencode({"a": answer}).encode(), headers)

    @staticmethod
    def _sent(address, method, path, data, headers):
        with closing(http.client.HTTPConnection(address, timeout=WITHIN_S)) as connection:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def says(self, words):
        """On its standard error, sooner or later."""
        return any(words in line for line in iter(self.process.stderr.readline, ""))

    def submitted(self):
        typed = {"template": "evacuation-order", "areas": ["大沢"]}
        _, written = self.ask(WRITER, "POST", "/drafts", {"mode": "drill", "typed": typed})
        identifier = written["draft"]["identifier"]
        _, waiting = self.ask(WRITER, "POST", f"/drafts/{identifier}/submit", {"mode": "drill"})
        return identifier, waiting["hash"]

    @contextmanager
    def full_disk(self):
        """The system refuses to let any file of the node grow."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    def asked(self, count):
        """The keys of a round in which so many people have been asked."""
        status, tried = self.ask(WELFARE, "POST", "/roster/check", {"csv": roster(count)})
        assert status == 200, tried
        file = {"mode": "drill", "csv": roster(count), "fingerprint": tried["fingerprint"]}
        assert self.ask(WELFARE, "PUT", "/roster", file)[0] == 200
        _, began = self.ask(WRITER, "POST", "/safety", ASKING)
        assert self.ask(APPROVER, "POST", f"/waiting/{began['waits_as']}", {"mode": "drill"})[0] == 200
        self.until("SELECT count(*) FROM asked", (count,))
        return self.keys()

    def look(self, statement, *values):
        """At the ledger, from outside."""
        with closing(sqlite3.connect(self.folder / "state" / "todoke.db")) as outside:
            return outside.execute(statement, values).fetchall()

    def until(self, statement, *rows):
        until_s = CLOCK.monotonic() + WITHIN_S
        while (found := self.look(statement)) != list(rows):
            assert CLOCK.monotonic() < until_s, found

    def keys(self):
        ((campaign, sealed),) = self.look("SELECT campaign, sealed FROM campaign_keys")
        return KeyRing(KEY.encode()).of(Campaign(campaign, 1, CLOCK.now(), {}, sealed))


def roster(count):
    lines = ["宛名番号,氏名,住所,メール", *(f"R{n},住民{n:04d},大沢2-6-18,r{n}@example.jp" for n in range(count))]
    return base64.b64encode("\n".join(lines).encode()).decode()


def person_of(keys: Keys, number: int) -> str:
    return keys.person(RosterSeal(Secret(KEY)).pid(f"R{number}"))


def token_of(keys: Keys, number: int) -> str:
    return keys.token(person_of(keys, number), "self")
