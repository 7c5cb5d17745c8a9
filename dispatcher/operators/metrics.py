"""What Prometheus reads: the ledger's own figures at the moment of the scrape, and how long attempts took.

Nothing that the ledger knows is counted here again: two counts of one thing disagree on the day when it matters. Only the time
that an attempt took stands in no ledger, so a histogram keeps it. No address, no text, no name of a person is in any label.

The only door to prometheus-client.

Source: Prometheus "Writing client libraries", "Metric and label naming"; OpenMetrics 1.0; prometheus-client "Custom Collectors".
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dispatcher.clock import Clock
from dispatcher.errors import Refused, Unauthenticated
from dispatcher.ledger import Attempted, Claim, Figures, Ledger
from dispatcher.model.delivery import OPEN

PATH = "/metrics"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

Attempt = Callable[[Claim], Awaitable[Attempted]]
Allow = Callable[[str], Awaitable[None]]
"""Given the bearer token of a request ("" without one), raises Refused unless it opens the figures."""


Residents = Callable[[], tuple[int, int, Mapping[str, int]]]
"""Readers of live pages now, how many were refused, and registrations for mail by step, since the node started."""


class Metrics(Collector):
    """The figures of one node."""

    def __init__(self, ledger: Ledger, clock: Clock, *, mode: str, node: str, readers: Callable[[], int]) -> None:
        """`readers`: how many are listening to live pages now."""
        self._ledger = ledger
        self._clock = clock
        self._about = {"mode": mode, "node": node, "version": version("todoke")}
        self._readers = readers
        self._figures: Figures | None = None
        self._residents: Residents = lambda: (0, 0, {})
        self._registry = CollectorRegistry()
        self._attempts = Histogram(
            "todoke_attempt_seconds",
            "How long one attempt at a delivery took, by channel and by what it came to.",
            ("channel", "ended"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._registry.register(self)

    def of_residents(self, now: Residents) -> None:
        """From now on what residents do is told too."""
        self._residents = now

    def timing(self, attempt: Attempt) -> Attempt:
        """The same attempts, with the time that they take kept: `ledger.run(lanes, metrics.timing(path.attempt))`."""

        async def timed(claim: Claim) -> Attempted:
            began_s, ended = self._clock.monotonic(), "broken off"
            try:
                attempted = await attempt(claim)
                ended = str(attempted.event)
            finally:
                self._attempts.labels(claim.channel, ended).observe(self._clock.monotonic() - began_s)
            return attempted

        return timed

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Everything as of now, and its media type: OpenMetrics where the reader asks for it, else Prometheus' text."""
        self._figures = await self._ledger.figures()
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def describe(self) -> Iterator[Metric]:
        """Nothing beforehand: the names come with the figures."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """For the registry; the figures are those of this scrape."""
        yield InfoMetricFamily("todoke_build", "Which program, in which mode, under which name.", self._about)
        yield GaugeMetricFamily("todoke_live_readers", "Pages that are open and listening.", self._readers())
        yield from _of_residents(*self._residents())
        still_s = self._ledger.still_for_s()
        yield GaugeMetricFamily("todoke_writer_still_seconds", "Since the ledger's writer last moved.", still_s)
        if self._figures is not None:
            yield from _of_ledger(self._figures)


def _of_residents(readers: int, refused: int, registrations: Mapping[str, int]) -> Iterator[Metric]:
    yield GaugeMetricFamily("todoke_residents_readers", "Residents' pages that are open and listening.", readers)
    yield CounterMetricFamily(
        "todoke_residents_readers_refused", "Pages that were told to look by themselves.", refused
    )
    steps = CounterMetricFamily(
        "todoke_mail_registrations", "What residents did about registered mail at this node.", labels=("step",)
    )
    for step, number in sorted(registrations.items()):
        steps.add_metric((step,), number)
    yield steps


def _of_ledger(figures: Figures) -> Iterator[Metric]:
    deliveries = GaugeMetricFamily("todoke_deliveries", "Deliveries by where they stand.", labels=("channel", "state"))
    queue = GaugeMetricFamily("todoke_queue_deliveries", "Deliveries that are not settled yet.", labels=("channel",))
    depth: dict[str, int] = {}
    for (channel, state), number in sorted(figures.deliveries.items()):
        deliveries.add_metric((channel, state.value), number)
        depth[channel] = depth.get(channel, 0) + (number if state in OPEN else 0)
    for channel, number in depth.items():
        queue.add_metric((channel,), number)
    outcomes = CounterMetricFamily(
        "todoke_destinations",
        "Destinations by what became of them; `addressed` is all of them.",
        labels=("channel", "outcome"),
    )
    for channel, counts in sorted(figures.tallies.items()):
        for name, number in counts.items():
            outcomes.add_metric((channel, "addressed" if name == "destinations" else name), number)
    leases = GaugeMetricFamily("todoke_lease_seconds", "Until a node would be taken for dead.", labels=("node",))
    for node, left_s in sorted(figures.leases_s.items()):
        leases.add_metric((node,), left_s)
    events = CounterMetricFamily("todoke_ledger_events", "Events of a node's chain.", labels=("node",))
    for node, length in sorted(figures.events.items()):
        events.add_metric((node,), length)
    people = GaugeMetricFamily(
        "todoke_campaign_people",
        "People of safety confirmations by where they stand, rounded down to whole fives.",
        labels=("kind", "progress"),
    )
    for (kind, progress), number in sorted(figures.people.items()):
        people.add_metric((kind, progress), number)
    yield people
    yield GaugeMetricFamily("todoke_push_devices", "Devices that asked to be pushed to.", figures.devices)
    yield deliveries
    yield queue
    yield GaugeMetricFamily("todoke_queue_oldest_seconds", "How long the oldest due delivery waits.", figures.due_for_s)
    yield outcomes
    yield leases
    yield events
    yield CounterMetricFamily("todoke_ledger_commits", "Transactions since the node started.", figures.commits)


def application(metrics: Metrics, allow: Allow) -> web.Application:
    """To be mounted at PATH on the staff's listener."""

    async def read(request: web.Request) -> web.Response:
        try:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            await allow(token.strip() if scheme.lower() == "bearer" else "")
        except Refused as refused:
            headers = {"WWW-Authenticate": "Bearer"} if isinstance(refused, Unauthenticated) else {}
            return web.Response(status=refused.http_status, text=f"{refused}\n", headers=headers)
        body, media_type = await metrics.scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    app = web.Application()
    app.router.add_get("", read)
    return app
