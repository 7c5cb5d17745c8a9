"""The reach ledger: who has been reached by what and when, and who by nothing; and the register that says who must act first."""

import tracemalloc
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from config.cities import load
from config.facilities import BadFacilities, Kind, Register, read
from dispatcher.channel import Surroundings
from dispatcher.clock import SystemClock
from dispatcher.errors import NotFound
from dispatcher.ledger import Claim, Event, IssuedAlert, NewDelivery
from dispatcher.ledgers import open_ledger
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Priority, Receipt, Received, Told
from dispatcher.model.mode import Drill
from dispatcher.node import kinds
from dispatcher.tracking.reach import Claimed, Reach, distance_m
from tests.servers.told_first import line, register

REAL = SystemClock()
CITY = load("mitaka")
NOW = REAL.now().replace(microsecond=0)
MANY = 20_000
BATCH = 500
FLAT_BYTES = 6_000_000


def channels(folder):
    """Two media that nobody opens: the site, which reaches nobody by name, and terminals, which do."""
    around = Surroundings(REAL, CITY, folder, "http://127.0.0.1:9")
    return {kind: kinds()[kind](Drill, None, around) for kind in ("website", "ip_terminal")}


@asynccontextmanager
async def looking(folder, *lines, deliveries=(), facilities=(), quarters=("132040301",)):
    """A ledger with one alert and these deliveries, and the reach ledger over it."""
    path = register(folder, *lines)
    async with open_ledger(f"sqlite:///{folder / 'todoke.db'}", mode=Drill, node="test", clock=REAL) as ledger:
        expires = NOW + timedelta(hours=6)
        facts = {"quarters": list(quarters), "facilities": list(facilities)}
        alert = IssuedAlert("A", "live", "issue", Priority.LEVEL_4, NOW, expires, b"<alert/>", {}, "A", facts)
        await ledger.issue(alert, deliveries[:BATCH], Event("alert.issued", "A"))
        await ledger.add_deliveries(deliveries[BATCH:])
        yield ledger, Reach(ledger, Register(path, CITY.quarters), CITY, channels(folder))


def delivery(number, addresses, kind="ip_terminal", batch="{}"):
    to = tuple(Destination(address, f"名前{address}") for address in addresses)
    return NewDelivery(f"A:{kind}:{batch.format(number)}", "A", kind, Priority.LEVEL_4, to, NOW + timedelta(hours=6))


async def tell(ledger, told, number=1):
    claim = Claim(
        number, "1", f"A:ip_terminal:{number}", "A", "ip_terminal", Priority.LEVEL_4, 1, (), is_reclaimed=False
    )
    await ledger.tell(claim, [Told(address, outcome, "words") for address, outcome in told.items()])


async def receive(ledger, *receipts):
    said = [Received("A", "ip_terminal", address, Receipt(receipt), NOW) for address, receipt in receipts]
    await ledger.record("ip_terminal", said)


async def test_of_each_address_the_strongest_claim_that_was_seen_stands(tmp_path):
    addresses = ["none", "later", "sent", "taken", "again", "has", "shows", "read", "back", "never"]
    async with looking(tmp_path, deliveries=[delivery(0, addresses)]) as (ledger, reach):
        outcomes = dict.fromkeys(addresses[3:9], Outcome.TAKEN) | {
            "later": Outcome.TEMPORARY,
            "sent": Outcome.UNKNOWN,
            "again": Outcome.DUPLICATE,
            "never": Outcome.PERMANENT,
        }
        await tell(ledger, outcomes)
        await receive(
            ledger,
            ("has", "delivered"),
            ("shows", "delivered"),
            ("shows", "displayed"),
            ("read", "acknowledged"),
            ("back", "bounced"),
        )
        people = [person async for person in reach.people("A")]
        assert {person.address: person.on.claimed for person in people} == {
            "none": Claimed.NOTHING,
            "later": Claimed.NOTHING,
            "sent": Claimed.SENT,
            "taken": Claimed.TAKEN,
            "again": Claimed.TAKEN,
            "has": Claimed.DELIVERED,
            "shows": Claimed.DISPLAYED,
            "read": Claimed.ACKNOWLEDGED,
            "back": Claimed.NOTHING,
            "never": Claimed.NOTHING,
        }
        assert {person.address for person in people if person.on.is_refused} == {"back", "never"}
        assert all((person.on.at is None) == (person.on.claimed is Claimed.NOTHING) for person in people)
        by_nothing = [person.address async for person in reach.people("A", only_by_nothing=True)]
        assert by_nothing == ["none", "later", "back", "never"]


async def test_a_medium_that_reaches_nobody_by_name_is_not_counted(tmp_path):
    both = [delivery(0, ["T0001", "T0002"]), delivery(0, ["site"], "website")]
    async with looking(tmp_path, deliveries=both) as (ledger, reach):
        await tell(ledger, {"T0001": Outcome.TAKEN})
        media = {medium.channel: medium for medium in (await reach.summary("A")).media}
        assert not media["website"].is_counted
        assert media["website"].people is media["website"].by_nothing is None
        assert (media["ip_terminal"].people, media["ip_terminal"].taken, media["ip_terminal"].by_nothing) == (2, 1, 1)
        assert [person.address async for person in reach.people("A")] == ["T0001", "T0002"]


async def test_a_receipt_of_its_terminal_is_no_acknowledgement_of_a_facility(tmp_path):
    first = delivery(0, ["T0001"], batch="facility/{}")
    async with looking(tmp_path, line("F001", terminals="T0001"), deliveries=[first], facilities=["F001"]) as (
        ledger,
        reach,
    ):
        await tell(ledger, {"T0001": Outcome.TAKEN})
        await receive(ledger, ("T0001", "delivered"), ("T0001", "displayed"))
        (silent,) = await reach.unacknowledged("A")
        assert silent.claimed is Claimed.DISPLAYED
        assert not silent.is_reached_by_nothing
        await receive(ledger, ("T0001", "acknowledged"))
        assert await reach.unacknowledged("A") == []
        summary = await reach.summary("A")
        assert (summary.facilities, summary.acknowledged, summary.by_nothing) == (1, 1, 0)
        assert (await reach.facilities("A"))[0].acknowledged.at == NOW


async def test_who_has_not_acknowledged_stands_first_and_the_nearest_of_them_at_the_top(tmp_path):
    at = CITY.quarters["132040301"]
    far, near = (f"{at.latitude + d:.6f}" for d in (0.01, 0.001))
    lines = [
        line("F001", lat=far, lon=str(at.longitude)),
        line("F002", lat=near, lon=str(at.longitude)),
        line("F003", terminals="T0003"),
        line("F004", quarter="132040302"),
    ]
    first = [delivery(0, ["T0003"], batch="facility/{}")]
    everybody = ["F001", "F002", "F003", "F004", "F099"]
    async with looking(tmp_path, *lines, deliveries=first, facilities=everybody) as (ledger, reach):
        await receive(ledger, ("T0003", "acknowledged"))
        lines = await reach.facilities("A")
        assert [each.facility.id for each in lines][-1] == "F003"
        distances = [each.distance_m for each in lines[:-1]]
        assert distances == sorted(distances)
        by_id = {each.facility.id: each for each in lines}
        assert by_id["F002"].distance_m == pytest.approx(111, abs=2)
        assert by_id["F001"].distance_m == pytest.approx(1112, abs=5)
        assert by_id["F001"].is_reached_by_nothing
        assert by_id["F099"].facility.name == "F099", "it has left the register and stays on the list"
        assert (await reach.summary("A")).people_in_unacknowledged == 180


def test_distances_in_a_city_are_those_of_the_map():
    # 三鷹駅 and 吉祥寺駅 lie 1.6 km apart by the railway's own kilometre posts.
    assert distance_m((35.7027, 139.5608), (35.7031, 139.5798)) == pytest.approx(1716, rel=0.02)


async def test_of_a_message_that_there_is_not_nothing_is_said(tmp_path):
    async with looking(tmp_path) as (_, reach):
        with pytest.raises(NotFound):
            await reach.summary("no-such")
        with pytest.raises(NotFound):
            await anext(reach.people("no-such"))


async def test_a_city_full_of_addresses_is_streamed_in_flat_memory(tmp_path):
    many = [delivery(n, [f"T{n}-{m}" for m in range(BATCH)]) for n in range(MANY // BATCH)]
    async with looking(tmp_path, deliveries=many) as (_, reach):
        del many
        tracemalloc.start()
        count = 0
        async for person in reach.people("A"):
            count += person.on.claimed is Claimed.NOTHING
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == MANY
        assert peak_bytes < 2 * FLAT_BYTES


# -- the register ---------------------------------------------------------------------------------------------------


def test_a_register_reads_with_or_without_a_byte_order_mark(tmp_path):
    path = register(tmp_path, line("F001", kind="care_home", language="ja-x-easy", terminals="T0001 T0002"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    facility = read(path, CITY.quarters)["F001"]
    assert facility.kind is Kind.CARE_HOME
    assert facility.terminals == ("T0001", "T0002")
    assert len(facility.mails) == 3
    assert "example.jp" not in repr(facility)
    assert "0422" not in repr(facility)


def test_every_bad_row_is_named_with_its_line_and_what_is_accepted(tmp_path):
    path = register(
        tmp_path,
        line("F001", kind="castle", people="many"),
        line("F001", mails="not-an-address"),
        line("F002", quarter="999999999", phones="call me"),
        line("F003", lat="35.6", lon="13.9"),
        line("F004", lat="35.6"),
        line("F005", terminals="T1"),
        line("F006", terminals="T1"),
        line("F007", name="悪い\u202e名前"),
        line("F001"),
        line("F001"),
    )
    with pytest.raises(BadFacilities) as wrong:
        read(path, CITY.quarters)
    said = "\n".join(wrong.value.problems)
    for at, what in [
        (2, "kind: one of nursery"),
        (2, "people: how many"),
        (3, "mails: up to 10 addresses"),
        (4, "quarter: a quarter of this city"),
        (4, "phones: up to 10 numbers"),
        (5, "lat, lon: a place in Japan"),
        (6, "lat, lon: both or neither"),
        (8, "terminals: T1 is F005's already"),
        (9, "name: 1 to 100 characters"),
        (11, "id: F001 stands twice"),
    ]:
        assert f"{path}:{at}: {what}" in said
    assert "not-an-address" not in said


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"id,name\nF001,a\n", ":1: the first line is id,name,kind"),
        ("施設".encode("cp932"), ":1: not UTF-8"),
        (b"x" * 5_000_001, "more than 5000000 bytes"),
        (b'"', "unexpected end"),
        (b"", ":1: the first line is"),
    ],
)
def test_what_is_no_such_file_is_refused_in_words(tmp_path, data, what):
    path = tmp_path / "facilities.csv"
    path.write_bytes(data)
    with pytest.raises(BadFacilities, match=what):
        read(path)


def test_a_register_that_breaks_leaves_the_last_good_one_in_force(tmp_path):
    path = register(tmp_path, line("F001"))
    kept = Register(path, CITY.quarters)
    assert kept.refresh()
    assert not kept.refresh()
    path.write_text("broken")
    with pytest.raises(BadFacilities):
        kept.refresh()
    path.unlink()
    with pytest.raises(BadFacilities, match="No such file"):
        kept.refresh()
    assert not kept.refresh(), "it is said once"
    assert list(kept.facilities) == ["F001"]
    register(tmp_path, line("F002"))
    assert kept.refresh()
    assert list(kept.facilities) == ["F002"]
