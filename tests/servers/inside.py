"""A small headquarters whose node runs in the test's own process, so that a test costs no start of a program."""

import asyncio
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

import yaml

from channels.email_list.letter import Sender
from config.secret import Secret
from config.site import load_site
from dispatcher import node
from dispatcher.__main__ import main
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from drills.world.ports import free_port
from tests.servers.headquarters import Headquarters

ADDRESS = "user0001@example.jp"
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


def private(path, text):
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def with_mail(city_hall):
    folder = city_hall.folder
    private(folder / "links", "0123456789abcdef-links")
    (folder / "subscribers.csv").write_text(f"address,quarters,language\n{ADDRESS},132040301,ja\n", "utf-8")
    port = free_port()
    mail = {
        "subscribers": "subscribers.csv",
        "sender": "kunren@kunren.bousai.example.jp",
        "sender_name": "三鷹市（訓練）",
        "list_id": "kunren.bousai.example.jp",
        "secret": {"file": "links"},
        "unsubscribe_url": f"http://127.0.0.1:{port}/unsubscribe",
        "listen": f"127.0.0.1:{port}",
        "relay": {"host": "127.0.0.1", "port": free_port(), "tls": "none"},
    }
    city_hall.change(channels={"email_list": mail})


def link(city_hall):
    """What stands in a mail of today."""
    s = city_hall.site().channels["email_list"]
    sender = Sender(
        name="",
        address=s.sender,
        list_id=s.list_id,
        unsubscribe_url=s.unsubscribe_url,
        secret=Secret(s.secret.reveal()),
    )
    return sender.unsubscribe(ADDRESS)


async def posted(url, data=b"List-Unsubscribe=One-Click", headers=None):
    def post():
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, data=data, headers=headers or {}), timeout=5
            ) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    return await asyncio.to_thread(post)
