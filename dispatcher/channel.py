"""The contract of a channel: render, send, probe. `channels/<kind>.py` keeps it; tests/contracts/ hold every keeper to it.

What every medium has in common is done here once, at the door: the mode is checked, the drill's banner is put on every
text before a medium sees it, and no text leaves a rendering without it. What differs is `_render`, `_send`, `_probe`.

Source: design.md §4 "Live and drill cannot mix", §6.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar, final

from config.city import City
from dispatcher.clock import Clock
from dispatcher.errors import Defect, ModeLeak, PermanentFailure
from dispatcher.model.alert import Alert, Info
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Priority, Received, Told
from dispatcher.model.mode import M, Mode, require
from dispatcher.model.question import Heard, Question
from dispatcher.model.rendering import Rendering
from dispatcher.model.report import Reported
from dispatcher.model.shelter import ShelterStanding
from dispatcher.model.topic import Topic

S = TypeVar("S")

Tell = Callable[[Told], None]
"""How `send` reports: once for each destination, as soon as it is known. Cheap, never blocks, never raises."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the lane of this channel allows. Rates and quotas count what `Channel.cost` counts (posts, mails, pages)."""

    concurrency: int = 4
    """Deliveries in flight at the same time."""
    rate_per_s: float | None = None
    """None: as fast as the medium takes it."""
    burst: float = 1.0
    quota: int | None = None
    """At most so many in any `quota_window_s`; None: no quota."""
    quota_window_s: float = 900.0
    quota_reserve: int = 0
    """Of the quota, kept for level 4 and 5 and retractions."""
    batch: int = 500
    """Destinations in one delivery at most."""
    attempt_timeout_s: float = 30.0
    """One call of `send` is cancelled after that; what it did not tell is unknown."""
    first_backoff_s: float = 1.0
    longest_backoff_s: float = 60.0
    breaker_failures: int = 5
    """Consecutive attempts without any success before the breaker opens."""
    breaker_open_s: float = 15.0


class Shelters(Protocol):
    """What is known of the city's shelters, for a medium that shows it."""

    @property
    def states(self) -> Mapping[str, ShelterStanding]:
        """By the facility's code; one that is absent was never spoken of."""
        ...

    async def changed(self, after: int) -> int:
        """Wait until `states` is another than at that generation (0 at the start); returns the generation."""
        ...


class _Unspoken:
    """Nobody ever says anything of a shelter."""

    states: Mapping[str, ShelterStanding] = MappingProxyType({})

    async def changed(self, after: int) -> int:
        del after
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return await never


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a channel may use of the node it runs in."""

    clock: Clock
    city: City
    state_dir: Path
    """A folder of the channel's own, which outlives the process."""
    site_url: str
    """Where residents read the site, without a trailing slash: links in other media lead there."""
    node: str = "node"
    shelters: Shelters = field(default_factory=_Unspoken)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person or facility as a medium reaches them: made at the moment of sending, written down nowhere."""

    key: str
    """What the outbox knows them by: the address of the delivery's destination."""
    address: str = field(repr=False)
    """In the medium's own words."""
    language: str = field(repr=False)
    link: str = field(default="", repr=False)
    """A page of their own, to answer or to acknowledge on; "" where the medium has buttons."""


class Inbox(Protocol):
    """What comes back from the medium at any time. Given to the channel when it is opened."""

    async def record(self, received: Sequence[Received]) -> None:
        """Returns after the receipts are durable: acknowledge to the medium only then. Receipts are few or many, in any order.

        Raises:
            StorageFull: nothing was recorded; do not acknowledge.
        """
        ...

    async def hear(self, heard: Sequence[Heard]) -> None:
        """Answers to a question; as `record`. The same one twice is one, and one to a question that there is not is nothing."""
        ...

    async def report(self, reported: Sequence[Reported]) -> bool:
        """Reports of people known by name alone; as `record`. False: nobody is being asked now, so keep them and come again."""
        ...

    def reachable(self) -> None:
        """Somebody who was out of reach can be reached again: deliveries that wait on this channel are tried at once."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What a link test saw, without sending anything to residents."""

    is_up: bool
    words: str
    """For staff, in Japanese, with the medium's own words: 「接続できません: Connection refused」."""
    latency_s: float | None = None


class Channel(ABC, Generic[M, S]):
    """One medium in one mode.

    A kind declares `kind` (its module's name), `title` and `title_en` (what staff call it), and `Settings` (a frozen dataclass that
    config/binding.py fills from the site file's `channels.<kind>` block).
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    title_en: ClassVar[str]
    Settings: ClassVar[type[Any]]
    counts_people: ClassVar[bool] = True
    """False where the medium reaches nobody by name (a website, X, TV): shown as 数えない."""
    asks: ClassVar[bool] = False
    """Can put a question to people one by one."""

    def __init__(self, mode: type[M], settings: S, surroundings: Surroundings) -> None:
        self.mode: type[M] = mode
        self.settings = settings
        self.surroundings = surroundings

    @property
    @abstractmethod
    def limits(self) -> Limits: ...

    @abstractmethod
    async def audience(self, quarters: Sequence[str]) -> Audience:
        """The audience of these quarters with its head count. An empty one has head count 0 (None is: cannot be counted)."""

    async def audience_for(self, quarters: Sequence[str], topic: Topic) -> Audience:
        """As `audience`, of those alone who want to hear of this topic; a medium that knows no such choice reaches them all."""
        del topic
        return await self.audience(quarters)

    @abstractmethod
    def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        """Every member as of now, each address once; streamed, because there may be 100,000."""

    def open(self, inbox: Inbox) -> AbstractAsyncContextManager[object]:
        """Listeners and pools that live as long as the node. By default there are none."""
        del inbox
        return nullcontext()

    @final
    def render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        """The alert in this medium's form. Pure: same alert and audience, same bytes; nothing is cut silently.

        Raises:
            ModeLeak: the alert is of the other mode, or a text came out without the banner.
        """
        require(self.mode, alert)
        rendering = self._render(with_banner(alert, self.mode), audience)
        self._bears_banner(rendering)
        return rendering

    @final
    def ask(self, question: Question[M]) -> Rendering[M]:
        """The question in this medium's form, for `send_each`. Pure.

        Raises:
            ModeLeak: the question is of the other mode, or has a text without the banner.
        """
        question.require(self.mode)
        rendering = self._ask(question)
        self._bears_banner(rendering)
        return rendering

    def _bears_banner(self, rendering: Rendering[M]) -> None:
        for text in rendering.texts:
            if self.mode.banner(text.language).strip() not in text.words:
                raise ModeLeak(
                    f"{self.kind} rendered a text of {rendering.identifier} without the {self.mode.word} banner"
                )

    @final
    async def send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        """Make one attempt at these destinations; `tell` each one's outcome as soon as it is known.

        Whoever was not told when this returns is *unknown*. Sending the same rendering again must not tell a person
        twice where the medium offers a way to avoid it. Cancellation leaves the channel fit for the next call.

        Raises:
            TemporaryFailure: nothing more was sent; try those not told again after `retry_after_s`.
            PermanentFailure: nothing more was sent; do not try those not told again.
            ModeLeak: the rendering is of the other mode.
        """
        if rendering.status != self.mode.status:
            raise ModeLeak(f"{self.kind} takes {self.mode.status} only, not {rendering.status}")
        await self._send(rendering, destinations, tell)

    @final
    async def send_each(self, rendering: Rendering[M], recipients: Sequence[Recipient], tell: Tell) -> None:
        """As `send`, to people one by one, each with what is theirs alone; `tell` names them by their keys.

        The medium's own words are told without the address: what is written down of a person is the key.

        Raises:
            As `send`.
        """
        if rendering.status != self.mode.status:
            raise ModeLeak(f"{self.kind} takes {self.mode.status} only, not {rendering.status}")
        for wave in _waves(recipients):
            await self._send_each(rendering, wave, _by_key(wave, tell))

    @abstractmethod
    async def probe(self) -> Probe:
        """A link test that sends nothing to residents. Never raises for what the medium does."""

    def cost(self, rendering: Rendering[M], destinations: int) -> int:
        """What one attempt takes from rate and quota."""
        del rendering
        return destinations

    @abstractmethod
    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        """As `render`; the texts of `alert` bear the banner already: say each one's headline or place within every piece."""

    def _ask(self, question: Question[M]) -> Rendering[M]:
        """As `ask`, where `asks`."""
        raise Defect(f"{self.kind} was asked to put {question.identifier} to people, and cannot")

    @abstractmethod
    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        """As `send`."""

    async def _send_each(self, rendering: Rendering[M], recipients: Sequence[Recipient], tell: Tell) -> None:
        """As `send_each`, where the medium knows people one by one; `tell` names them by their addresses, each once here.

        What a receiver takes for the same message twice (a Message-ID) is made of the key, because a family may share an address.
        """
        del rendering, recipients, tell
        raise PermanentFailure(f"{self.title}は一人ずつには送れません (reaches nobody one by one)")


def _waves(recipients: Sequence[Recipient]) -> Sequence[Sequence[Recipient]]:
    """Nobody's address twice in one: a family may share one, and an outcome is told by it."""
    waves: list[dict[str, Recipient]] = []
    for recipient in recipients:
        wave = next((wave for wave in waves if recipient.address not in wave), None)
        if wave is None:
            waves.append(wave := {})
        wave[recipient.address] = recipient
    return [list(wave.values()) for wave in waves]


def _by_key(recipients: Sequence[Recipient], tell: Tell) -> Tell:
    keys = {recipient.address: recipient.key for recipient in recipients}
    return lambda told: tell(replace(told, address=keys[told.address], words=_without(told.words, told.address)))


def _without(words: str, address: str) -> str:
    return re.sub(re.escape(address), "＊", words, flags=re.IGNORECASE)


def with_banner(alert: Alert[M], mode: type[Mode]) -> Alert[M]:
    """The alert with the mode's banner before every text that may stand alone."""

    def marked(info: Info) -> Info:
        banner = mode.banner(info.language)

        def mark(text: str | None) -> str | None:
            return text if text is None or not banner or text.startswith(banner) else banner + text

        return replace(
            info,
            headline=mark(info.headline),
            description=mark(info.description),
            instruction=mark(info.instruction),
            parameter=tuple(
                replace(p, value=mark(p.value) or "") if p.value_name == "todoke:short" else p for p in info.parameter
            ),
        )

    return replace(alert, info=tuple(marked(i) for i in alert.info))


def priority_of(alert: Alert[object]) -> Priority:
    """How urgent it is: retraction first, then by level; without a level by CAP's severity."""
    if alert.msg_type == "Cancel":
        return Priority.RETRACTION
    levels = [info.level for info in alert.info if info.level]
    if levels:
        return {5: Priority.LEVEL_5, 4: Priority.LEVEL_4, 3: Priority.LEVEL_3}.get(max(levels), Priority.URGENT)
    if any(info.severity in {"Extreme", "Severe"} for info in alert.info):
        return Priority.LEVEL_4
    return Priority.ROUTINE
