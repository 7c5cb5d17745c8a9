"""Who is written down for a message: everybody of the area now, and whom an earlier one of its chain was addressed to."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import yaml

from config.site import bind_site
from dispatcher import cap
from dispatcher.ledger import Event, IssuedAlert, NewDelivery
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority
from dispatcher.model.draft import State, Verb
from dispatcher.model.mode import Drill
from dispatcher.node import kinds, running
from dispatcher.steps.accept import Typed, accept
from drills.world.ports import free_port
from tests.samples import evacuation_order


def site(folder: Path):
    public = f"127.0.0.1:{free_port()}"
    described = {
        "mode": "drill",
        "node": "test",
        "state_dir": "state",
        "city": "mitaka",
        "residents": {"listen": public, "url": f"http://{public}"},
        "control": {"listen": f"127.0.0.1:{free_port()}"},
        "staff": [
            {"name": "職員0001", "roles": ["originator"], "token_hash": "1" * 64},
            {"name": "職員0002", "roles": ["approver"], "token_hash": "2" * 64},
        ],
        "channels": {"website": {"folder": "site", "url": f"http://{public}"}},
    }
    data = yaml.safe_dump(described, allow_unicode=True).encode()
    return bind_site(data, "site.yaml", folder, {kind: channel.Settings for kind, channel in kinds().items()})


async def test_a_retraction_also_goes_to_whom_only_the_order_was_addressed(tmp_path):
    async with running(site(tmp_path)) as node:
        clock, city = node.path.clock, node.path.city
        now = clock.now()
        order = accept(
            Typed(template="evacuation-order", areas=("大沢",)),
            city=city,
            mode=Drill,
            now=now,
            author="職員0001",
            identifier="order-1",
        )
        await node.ledger.save_draft("order-1", 0, order.body(), Event("draft.written", "order-1"))
        sample = evacuation_order(node.path.mode, identifier="order-1", sent=now)
        moved = NewDelivery(
            key="order-1:website:0",
            identifier="order-1",
            channel="website",
            priority=Priority.LEVEL_4,
            destinations=(Destination("moved-away"),),
            expires_at=now + timedelta(hours=1),
            not_before=now + timedelta(minutes=30),
        )
        issued = IssuedAlert(
            "order-1", State.LIVE, Verb.ISSUE, Priority.LEVEL_4, now, sample.expires, cap.write(sample), {}, "order-1"
        )
        assert await node.ledger.issue(issued, [moved], Event("alert.issued", "order-1"))
        cancel = accept(
            Typed(areas=("大沢",), verb=Verb.RETRACT, of="order-1", note="区域の誤り"),
            city=city,
            mode=Drill,
            now=now,
            author="職員0001",
            identifier="cancel-1",
            before=order,
        )
        version = await node.ledger.save_draft("cancel-1", 0, cancel.body(), Event("draft.written", "cancel-1"))
        await node.path.issue(replace(cancel, version=version), by="職員0001")
        addressed = {d.address async for d in node.ledger.destinations("cancel-1", "website")}
        assert "moved-away" in addressed
        assert len(addressed) == 2
        assert (await node.ledger.alert("order-1")).state == State.ENDED
