"""A whole headquarters for a test: `todoke serve` in a process of its own with a website, and its two people at the command line."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import yaml

from dispatcher.staff.sessions import new_token
from drills.world.ports import free_port

ORDER = ("--template", "evacuation-order", "--area", "大沢")


class Headquarters:
    """A node with a website, and its two people."""

    def __init__(self, folder):
        self.folder = folder
        self.tokens = {}
        staff = []
        for name, roles in (("職員0001", ["originator"]), ("職員0002", ["approver"])):
            self.tokens[name], kept = new_token()
            staff.append({"name": name, "roles": roles, "token_hash": kept})
        public, self.door = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.url = f"http://{public}"
        site = {
            "mode": "drill",
            "node": "test",
            "state_dir": str(folder / "state"),
            "city": "mitaka",
            "residents": {"listen": public, "url": self.url},
            "control": {"listen": self.door},
            "staff": staff,
            "channels": {"website": {"folder": str(folder / "site"), "url": self.url}},
        }
        self.file = folder / "site.yaml"
        self.file.write_text(yaml.safe_dump(site, allow_unicode=True), "utf-8")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dispatcher", "serve", str(self.file)], stderr=subprocess.PIPE, text=True
        )
        first = self.process.stderr.readline()
        assert "residents" in first, first + self.process.stderr.read()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(20)
        self.process.stderr.close()

    def todoke(self, who, *words):
        environment = {**os.environ, "TODOKE_NODE": f"http://{self.door}", "TODOKE_TOKEN": self.tokens.get(who, who)}
        done = subprocess.run(
            [sys.executable, "-m", "dispatcher", *words, "-o", "json"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
            check=False,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    def submitted(self):
        code, draft = self.todoke("職員0001", "draft", "--drill", *ORDER)
        assert code == 0, draft
        identifier = draft["draft"]["identifier"]
        code, answer = self.todoke("職員0001", "submit", "--drill", identifier)
        assert code == 3, answer
        return identifier, answer["hash"]

    def issued(self):
        identifier, shown = self.submitted()
        assert self.todoke("職員0002", "approve", "--drill", identifier, "--hash", shown)[0] == 0
        assert self.todoke("職員0002", "watch", identifier, "--timeout", "30")[0] == 0
        return identifier

    def page(self):
        with urllib.request.urlopen(self.url + "/index.html", timeout=5) as answer:
            return answer.read().decode()
