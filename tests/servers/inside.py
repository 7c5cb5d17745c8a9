"""A small headquarters whose node runs in the test's own process, so that a test costs no start of a program."""

import asyncio
import urllib.request
from contextlib import asynccontextmanager

import yaml

from config.site import load_site
from dispatcher import node
from dispatcher.__main__ import main
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from tests.servers.headquarters import Headquarters

WRITER, APPROVER = Person("職員0001", ("originator",)), Person("職員0002", ("approver",))


class Node:
    """One site file and the node that it describes."""

    def __init__(self, folder):
        made = Headquarters(folder)
        self.folder, self.file, self.url, self.door, self.tokens = (
            made.folder,
            made.file,
            made.url,
            made.door,
            made.tokens,
        )

    def change(self, **blocks):
        """Other values for some keys of the site file; those of `channels` are added."""
        site = yaml.safe_load(self.file.read_text("utf-8"))
        blocks["channels"] = site["channels"] | blocks.get("channels", {})
        self.file.write_text(yaml.safe_dump(site | blocks, allow_unicode=True), "utf-8")

    def blocks(self, kind):
        """What the site file says of one channel."""
        return yaml.safe_load(self.file.read_text("utf-8"))["channels"][kind]

    def site(self):
        return load_site(self.file, {kind: channel.Settings for kind, channel in node.kinds().items()})

    @asynccontextmanager
    async def up(self):
        async with node.running(self.site()) as running:
            yield running

    def todoke(self, *words):
        return main([*words, "--site", str(self.file)])

    async def beside(self, *words):
        """A command, while the node goes on."""
        return await asyncio.to_thread(self.todoke, *words)

    async def page(self):
        def read():
            with urllib.request.urlopen(self.url + "/index.html", timeout=5) as answer:
                return answer.read().decode()

        return await asyncio.to_thread(read)


async def issued(running):
    """The identifier of an evacuation order that the website has taken."""
    draft, _ = await running.desk.draft(WRITER, Typed(template="evacuation-order", areas=("大沢",)), mode="drill")
    draft, _ = await running.desk.submit(WRITER, draft.identifier, mode="drill")
    alert = await running.desk.approve(APPROVER, draft.identifier, shown=draft.hash, mode="drill")
    seen = 0
    async with asyncio.timeout(20):
        while not any(line.taken for line in await running.ledger.tally(alert.identifier)):
            seen = await running.ledger.changed(seen, 5)
    return alert.identifier
