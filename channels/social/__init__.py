"""X (formerly Twitter): the alert as a post, or as a thread where one post does not hold it.

X counts nobody, so the only destination is the account. Its worst habit is silence: after a time-out or a 503 the post was
often made. So a rendering's posts have deterministic texts, an intent is on the disk before the first leaves, and whoever
tries again looks at the account's own timeline first; X's refusal of a duplicate is the second net. A thread that broke off
goes on with the post that is missing.

A 取消, 訂正 or 解除 says so first and replies to the original, where this node knows its id, so that it stands below what people
have passed on. No URL unless the settings ask: a post with one costs thirteen times as much.

Source: design.md §6; facts.md §Social; docs.x.com "Rate limits".
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from yarl import URL

from channels.social import thread
from channels.social.api import SIGNED_ORIGIN, Api, Duplicate, Keys, ReplyGone, Unlooked, Unsure, as_compared
from channels.social.posted import Posted
from config.secret import Secret
from config.units import Seconds
from dispatcher.channel import Channel, Inbox, Limits, Probe, Tell
from dispatcher.errors import Finding, PermanentFailure, TemporaryFailure
from dispatcher.log import logger
from dispatcher.model.alert import Alert, Info
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.draft import verb_of
from dispatcher.model.mode import M
from dispatcher.model.rendering import Part, Rendering, Text

log = logger(__name__)

SLACK = timedelta(minutes=10)
"""How far X's clock and ours may differ when a post on the timeline is matched with an alert."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`channels.social` of a site file.

    social:
      account: mitaka_bousai
      consumer_key: {file: keys/x-consumer-key}
      consumer_secret: {file: keys/x-consumer-secret}
      access_token: {file: keys/x-access-token}
      access_token_secret: {file: keys/x-access-token-secret}
      languages: [ja, en-US]
    """

    account: str
    """The handle without @. The channel refuses to post when the keys turn out to be another account's."""
    consumer_key: Secret
    consumer_secret: Secret
    access_token: Secret
    access_token_secret: Secret
    languages: tuple[str, ...] = ("ja",)
    """What is said, in this order, as further posts of the thread; `en` finds en-US."""
    with_link: bool = False
    """Close the first language with the site's address. Thirteen times the price for that post."""
    longest_thread: int = 12
    """More posts than this and the alert is refused, to be shortened."""
    quota: int = 100
    quota_window: Seconds = 900.0
    quota_reserve: int = 30
    """Posts of the quota kept for level 4, 5 and retractions."""
    timeout: Seconds = 10.0
    """For one request."""
    api_url: str = SIGNED_ORIGIN
    """Where requests go; what is signed is always X's own origin. http only on loopback."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not (self.account.isascii() and self.account.replace("_", "a").isalnum() and len(self.account) <= 15):
            yield "account", "up to 15 letters, digits and _ are accepted, without @"
        if not self.languages:
            yield "languages", "at least one language is needed"
        if self.longest_thread < 1:
            yield "longest_thread", "1 or more is accepted"
        if not 0 <= self.quota_reserve < self.quota:
            yield "quota_reserve", f"0 to {self.quota - 1} is accepted, less than the quota"
        if self.timeout <= 0:
            yield "timeout", "more than 0 s is accepted"
        try:
            url = URL(self.api_url)
            is_safe = url.scheme == "https" or (url.scheme == "http" and url.host in {"127.0.0.1", "::1", "localhost"})
        except ValueError:
            is_safe = False
        if not is_safe:
            yield "api_url", "an https address is accepted; http on this machine only"


class Social(Channel[M, Settings]):
    """One account of X in one mode."""

    kind: ClassVar[str] = "social"
    title: ClassVar[str] = "X"
    title_en: ClassVar[str] = "X"
    Settings: ClassVar[type[Any]] = Settings
    counts_people: ClassVar[bool] = False

    _api: Api | None = None
    _posted: Posted | None = None
    _is_ours: bool | None = None

    @property
    def limits(self) -> Limits:
        s = self.settings
        return Limits(
            concurrency=2,
            quota=s.quota,
            quota_window_s=s.quota_window,
            quota_reserve=s.quota_reserve,
            batch=1,
            attempt_timeout_s=max(60.0, 3 * s.timeout),
            first_backoff_s=2.0,
        )

    @asynccontextmanager
    async def open(self, inbox: Inbox) -> AsyncIterator[None]:
        """A session with X, and the memory of what was posted."""
        del inbox
        s = self.settings
        keys = Keys(s.consumer_key, s.consumer_secret, s.access_token, s.access_token_secret)
        self._posted = await asyncio.to_thread(Posted, self.surroundings.state_dir / "posts.jsonl")
        async with Api(keys, s.api_url, s.timeout, self.surroundings.clock) as self._api:
            yield
        self._api = None

    async def audience(self, quarters: Sequence[str]) -> Audience:
        words = f"X のアカウント @{self.settings.account}（見た人は数えない）" if quarters else "なし"
        return Audience(self.kind, tuple(quarters), None if quarters else 0, words)

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        if audience.quarters:
            yield Destination(self.settings.account, f"@{self.settings.account}")

    def cost(self, rendering: Rendering[M], destinations: int) -> int:
        return len(rendering.texts) * destinations

    async def probe(self) -> Probe:
        clock = self.surroundings.clock
        started = clock.monotonic()
        try:
            await self._account_is_ours()
        except (TemporaryFailure, PermanentFailure) as failure:
            return Probe(is_up=False, words=str(failure))
        return Probe(
            is_up=True, words=f"@{self.settings.account} として投稿できます", latency_s=clock.monotonic() - started
        )

    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        del audience
        infos: list[Info] = []
        missing: list[Finding] = []
        findings: list[Finding]
        for wanted in self.settings.languages:
            found = next((i for i in alert.info if wanted in {i.language, i.language.partition("-")[0]}), None)
            if found is None:
                missing.append(
                    Finding("social.languages", f"{wanted} の文がありません。投稿しません。", blocks=not alert.info)
                )
            elif found not in infos:
                infos.append(found)
        infos = infos or [alert.info_in("ja")]
        posts, findings = thread.posts(
            alert,
            infos,
            {i.language: self.mode.banner(i.language) for i in infos},
            link=self.surroundings.site_url if self.settings.with_link else None,
            longest=self.settings.longest_thread,
        )
        body = {
            "sent": alert.sent.isoformat(),
            "replies_to": [r.identifier for r in reversed(alert.references)]
            if verb_of(alert) in thread.FOLLOWING
            else [],
            "posts": [{"language": language, "text": text, "weight": thread.weight(text)} for language, text in posts],
        }
        return Rendering(
            channel=self.kind,
            identifier=alert.identifier,
            status=alert.status,
            texts=tuple(Text(language, text) for language, text in posts),
            parts=(Part("thread.json", "application/json", json.dumps(body, ensure_ascii=False, indent=1).encode()),),
            findings=(*missing, *findings),
        )

    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        assert self._api is not None
        assert self._posted is not None
        if not destinations:
            return
        address = destinations[0].address
        with suppress(
            TemporaryFailure
        ):  # X need not say who we are for a post to go out; saying somebody else stops it
            if self._is_ours is None:
                await self._account_is_ours()
        attempt = _Attempt(self._api, self._posted, rendering)
        try:
            outcome = await attempt.run()
        except Unsure as doubt:
            tell(Told(address, Outcome.UNKNOWN, f"{doubt}。{attempt.progress}。タイムラインを見てから続けます"))
        except TemporaryFailure as failure:
            raise TemporaryFailure(f"{failure}。{attempt.progress}", failure.retry_after_s) from failure
        except PermanentFailure as failure:
            raise PermanentFailure(f"{failure}。{attempt.progress}") from failure
        else:
            tell(Told(address, outcome, attempt.progress, medium_id=attempt.ids.get(0, "")))

    async def _account_is_ours(self) -> None:
        """Raises: PermanentFailure: the keys are another account's. TemporaryFailure: X did not say."""
        assert self._api is not None
        account = await self._api.account()
        self._is_ours = account.casefold() == self.settings.account.casefold()
        if not self._is_ours:
            self._is_ours = None
            raise PermanentFailure(f"X の鍵は @{account} のものです。設定は @{self.settings.account} です")


class _Attempt:
    """One try at a thread: what stands already, then what is missing, in order."""

    def __init__(self, api: Api, posted: Posted, rendering: Rendering[Any]) -> None:
        body = json.loads(rendering.part("thread.json"))
        self._api, self._posted = api, posted
        self._digest, self._identifier = rendering.digest, rendering.identifier
        self._since = datetime.fromisoformat(body["sent"]) - SLACK
        self._texts = [as_compared(post["text"]) for post in body["posts"]]
        self._original = next(filter(None, map(posted.first_of, body["replies_to"])), None)
        self.ids: dict[int, str] = posted.posts(self._digest)

    @property
    def progress(self) -> str:
        return f"{len(self._texts)} 件中 {len(self.ids)} 件を投稿済み"

    async def run(self) -> Outcome:
        """Post what is missing.

        Raises:
            Unsure: one post may or may not have been made.
            TemporaryFailure, PermanentFailure: X said no; what `ids` names stands.
        """
        if self._posted.was_tried(self._digest):
            await self._look()
        is_news = len(self.ids) < len(self._texts)
        await self._remember(self._posted.begin, self._digest, self._identifier)
        above = self._original
        for n, text in enumerate(self._texts):
            if n not in self.ids:
                is_news = await self._post(n, text, above) and is_news
            above = self.ids[n] or above
        return Outcome.TAKEN if is_news else Outcome.DUPLICATE

    async def _post(self, n: int, text: str, above: str | None) -> bool:
        """Returns whether X took it now; False where it had it already."""
        try:
            post_id = await self._post_below(text, above)
        except Duplicate:
            await self._look()
            if n not in self.ids:
                self.ids[n] = ""  # X has it and does not show it to us: the thread goes on below the post before
            return False
        except Unsure:
            await self._look()
            if n not in self.ids:
                raise
            return True
        self.ids[n] = post_id
        await self._remember(self._posted.add, self._digest, n, post_id)
        return True

    async def _post_below(self, text: str, above: str | None) -> str:
        try:
            return await self._api.post(text, above)
        except ReplyGone:  # somebody deleted the original by hand: the words have to go out all the more
            return await self._api.post(text, None)

    async def _look(self) -> None:
        """Learn from the timeline which posts stand. Where X does not let us look, its refusal of duplicates must do."""
        if len(self.ids) == len(self._texts):
            return
        try:
            seen = await self._api.recent()
        except Unlooked as refusal:
            log.warning("social.unlooked", reason=str(refusal))
            return
        standing = {post.text: post.id for post in reversed(seen) if post.at >= self._since}
        for n, text in enumerate(self._texts):
            if n not in self.ids and text in standing:
                self.ids[n] = standing[text]
                await self._remember(self._posted.add, self._digest, n, standing[text])

    async def _remember(self, note: Any, *facts: object) -> None:
        try:
            await asyncio.to_thread(note, *facts)
        except OSError as full:
            log.warning("social.forgetful", reason=full.strerror)


Kind = Social
