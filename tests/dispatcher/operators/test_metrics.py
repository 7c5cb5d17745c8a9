"""The figures as Prometheus reads them, from a node that has really sent something; each is the ledger's own."""

import asyncio
import urllib.error
import urllib.request
from dataclasses import replace

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.channel import Limits
from dispatcher.clock import SystemClock
from dispatcher.ledger import Attempted, Claim, Event
from dispatcher.ledgers import open_ledger
from dispatcher.model.campaign import Progress
from dispatcher.model.delivery import DeliveryState, Outcome, Priority, Told
from dispatcher.model.mode import Drill
from dispatcher.operators.metrics import Metrics
from dispatcher.staff.accounts.roles import Scope
from tests.contracts import ledger_contract as contract
from tests.contracts.campaigns_contract import CAMPAIGN, opened
from tests.servers.inside import issued


async def asked(city_hall, token, accept=""):
    """Status, media type, body."""

    def ask():
        headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(f"http://{city_hall.door}/metrics", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()

    return await asyncio.to_thread(ask)


def read(body):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


@pytest.fixture
def with_admin(city_hall):
    site = city_hall.site()
    staff = [{"name": p.name, "roles": list(p.roles), "token_hash": p.token_hash} for p in site.staff]
    staff[1]["roles"].append("admin")
    city_hall.change(staff=staff)
    return city_hall


async def test_the_figures_are_those_of_the_ledger(with_admin):
    async with with_admin.up() as node:
        identifier = await issued(node)
        status, media_type, body = await asked(with_admin, with_admin.tokens["職員0002"])
        assert status == 200, body
        assert media_type.startswith("text/plain")
        figures, ledger = read(body), await node.ledger.figures()
        website = ("channel", "website")
        assert figures["todoke_destinations_total", website, ("outcome", "taken")] == 1
        assert figures["todoke_destinations_total", website, ("outcome", "addressed")] == 1
        assert figures["todoke_deliveries", website, ("state", "taken")] == 1
        assert figures["todoke_queue_deliveries", website] == 0
        assert figures["todoke_attempt_seconds_count", website, ("ended", "taken")] == 1
        assert figures["todoke_ledger_events_total", ("node", "test")] == ledger.events["test"]
        assert 0 < figures["todoke_ledger_commits_total",] <= ledger.commits
        assert 0 < figures["todoke_lease_seconds", ("node", "test")] <= 3
        assert figures["todoke_live_readers",] == 0
        assert figures["todoke_build_info", ("mode", "drill"), ("node", "test"), ("version", "0.1.0")] == 1
        assert identifier not in body
        assert "大沢" not in body


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_both_engines_count_what_waits_what_is_under_way_and_who_lives(engine, request, tmp_path):
    dsn = (
        f"sqlite:///{tmp_path / 'todoke.db'}" if engine == "sqlite" else request.getfixturevalue("postgres").database()
    )
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def attempt(claim):
        under_way.set()
        await go_on.wait()
        return Attempted(claim, "taken", told=[Told(d.address, Outcome.TAKEN, "yes") for d in claim.destinations])

    async with open_ledger(dsn, mode=Drill, node="test", clock=SystemClock()) as ledger, asyncio.timeout(20):
        before = await ledger.figures()
        assert before.deliveries == {}
        assert before.due_for_s == 0
        await ledger.issue(contract.issued(expires_at=None), unending(3), Event("alert.issued", contract.ALERT))
        assert (await ledger.figures()).deliveries == {("website", DeliveryState.READY): 3}
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(ledger.run({"website": Limits(concurrency=1)}, attempt))
            await under_way.wait()
            now = await ledger.figures()
            assert now.deliveries == {("website", DeliveryState.READY): 2, ("website", DeliveryState.SENDING): 1}
            assert now.due_for_s > 0
            assert now.commits > before.commits
            assert 0 < now.leases_s["test"] <= 3
            go_on.set()
            while (await ledger.figures()).deliveries != {("website", DeliveryState.TAKEN): 3}:
                await ledger.changed(now.events["test"], 0.1)
            after = await ledger.figures()
            assert after.tallies["website"]["taken"] == after.tallies["website"]["destinations"] == 6
            assert after.events["test"] > now.events["test"]
            assert ledger.still_for_s() < 10, "the beat moves the writer"
            running.cancel()


def unending(count):
    return [replace(delivery, expires_at=None) for delivery in contract.deliveries(count, size=2)]


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_people_are_counted_in_fives_so_that_nobody_is_counted_out(engine, request, tmp_path):
    """Who may measure need not be of the role welfare; one who asked for help among twelve could be guessed."""
    dsn = (
        f"sqlite:///{tmp_path / 'todoke.db'}" if engine == "sqlite" else request.getfixturevalue("postgres").database()
    )
    async with open_ledger(dsn, mode=Drill, node="test", clock=SystemClock()) as ledger, asyncio.timeout(20):
        campaigns = await opened(ledger, 12)
        await ledger.save_record("push", "device", 0, {"endpoint": "https://push.example"}, None)
        people, step = (await ledger.figures()).people, Progress.ASKED.value
        assert people == {("safety", step): 10}
        body, _ = await Metrics(ledger, SystemClock(), mode="drill", node="test", readers=lambda: 0).scrape()
        figures = read(body.decode())
        assert figures["todoke_campaign_people", ("kind", "safety"), ("progress", step)] == 10
        assert figures["todoke_push_devices",] == 1
        await campaigns.destroy(CAMPAIGN, 1, {}, Event("safety.destroyed", CAMPAIGN))
        assert (await ledger.figures()).people == {}


async def test_residents_are_counted_too(with_admin):
    async with with_admin.up(), aiohttp.ClientSession() as resident:
        site = f"http://{with_admin.site().residents.listen}"
        async with resident.get(f"{site}/live") as stream:
            assert (await stream.content.readline()).startswith(b"retry:")
            async with resident.post(f"{site}/mail", data={"address": "none"}) as answer:
                assert answer.status in {404, 405, 422}, "what is no address is no registration"
            figures = read((await asked(with_admin, with_admin.tokens["職員0002"]))[2])
        assert figures["todoke_residents_readers",] == 1
        assert figures["todoke_residents_readers_refused_total",] == 0
        assert not [name for name in figures if name[0] == "todoke_mail_registrations_total"]


async def test_an_openmetrics_reader_gets_openmetrics(with_admin):
    async with with_admin.up():
        token = with_admin.tokens["職員0002"]
        _, media_type, body = await asked(with_admin, token, "application/openmetrics-text; version=1.0.0")
        assert media_type.startswith("application/openmetrics-text")
        assert body.endswith("# EOF\n")


async def test_the_figures_are_for_those_who_may_measure(with_admin):
    async with with_admin.up():
        assert (await asked(with_admin, ""))[0] == 401
        assert (await asked(with_admin, "todoke_guessed"))[0] == 401
        status, _, words = await asked(with_admin, with_admin.tokens["職員0001"])
        assert status == 403
        assert Scope.METRICS in words


async def test_an_attempt_that_breaks_is_timed_as_well(with_admin):
    async with with_admin.up() as node:
        metrics = Metrics(node.ledger, SystemClock(), mode="drill", node="test", readers=lambda: 3)

        async def breaking(claim):
            raise OSError(claim.channel)

        claim = Claim(1, "1", "key", "identifier", "website", Priority.LEVEL_4, 1, (), False)
        with pytest.raises(OSError, match="website"):
            await metrics.timing(breaking)(claim)
        figures = read((await metrics.scrape())[0].decode())
        assert figures["todoke_attempt_seconds_count", ("channel", "website"), ("ended", "broken off")] == 1
        assert figures["todoke_live_readers",] == 3
