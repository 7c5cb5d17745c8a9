"""A whole node with registered mail alone, for the bench, in a process of its own, so that its memory is its own.

python -m tests.bench._city PORT FOLDER      sends one order to everybody in FOLDER/subscribers.csv through the relay at PORT; prints the
                                             seconds from the approval to the last mail taken, and the most memory that it had in MB
"""

import logging
import resource
import sys
import time
from pathlib import Path

import uvloop
import yaml

from config.site import bind_site
from dispatcher import node
from dispatcher.clock import SystemClock
from dispatcher.ledger import Ledger
from dispatcher.log import to_stderr
from dispatcher.model.draft import State
from dispatcher.staff.sessions import new_token
from drills.demo import ORDER
from drills.staff import APPROVER, SUBMITTER, Staff
from drills.world.ports import free_port

CLOCK = SystemClock()
LOOK_EVERY_S = 0.2


async def _is_all_taken(ledger: Ledger, identifier: str) -> bool:
    is_written = (await ledger.alert(identifier)).state == State.LIVE
    lines = {line.channel: line for line in await ledger.tally(identifier)}
    return is_written and lines["email_list"].taken == lines["email_list"].destinations


async def main(port: int, folder: Path) -> None:
    tokens = {name: new_token() for name in (SUBMITTER, APPROVER)}
    roles = {SUBMITTER: "originator", APPROVER: "approver"}
    described = {
        "mode": "drill",
        "node": "bench",
        "state_dir": str(folder / "node"),
        "city": "mitaka",
        "residents": {"listen": f"127.0.0.1:{free_port()}", "url": "http://127.0.0.1"},
        "control": {"listen": f"127.0.0.1:{free_port()}"},
        "staff": [{"name": name, "roles": [roles[name]], "token_hash": tokens[name][1]} for name in tokens],
        "channels": {
            "email_list": {
                "subscribers": str(folder / "subscribers.csv"),
                "sender": "kunren@bousai.example.jp",
                "sender_name": "三鷹市（訓練）",
                "list_id": "kunren.bousai.example.jp",
                "secret": {"env": "TODOKE_BENCH_SECRET"},
                "unsubscribe_url": "https://bousai.example.jp/unsubscribe",
                "listen": f"127.0.0.1:{free_port()}",
                "relay": {"host": "127.0.0.1", "port": port, "tls": "none"},
                "connections": 10,
                "mails_per_connection": 1_000_000,
            }
        },
    }
    text = yaml.safe_dump(described, allow_unicode=True, sort_keys=False).encode()
    site = bind_site(text, "bench.yaml", folder, {kind: channel.Settings for kind, channel in node.kinds().items()})
    async with node.running(site) as running:
        staff = Staff(f"http://{site.control.listen}", {name: token for name, (token, _) in tokens.items()})
        began_s = time.perf_counter()
        order = await staff.order(ORDER)
        while not await _is_all_taken(running.ledger, order.identifier):
            await CLOCK.sleep(LOOK_EVERY_S)
        took_s = time.perf_counter() - began_s
    print(took_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


if __name__ == "__main__":
    to_stderr(logging.ERROR)
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
