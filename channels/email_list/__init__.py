"""Registered mail: one recipient a mail, written once and filled in, handed to the city's relay over pipelined sessions.

One recipient a mail, because a personal link and one-click unsubscription need it and because one bad address among fifty can fail
the other forty-nine. *Taken* is the relay's 250: from there on the way is mail's own, and bounces come back to a sender that names
whose they are. A repeat after a crash carries the same Message-ID, so that receivers can drop it.

Source: design.md §3, §6; facts.md §Mail; RFC 5321, RFC 8058.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cached_property
from itertools import chain, islice
from typing import Any, ClassVar

from channels.email_list import letter
from channels.email_list.autoreply import may_answer, message_id
from channels.email_list.dkim import Key
from channels.email_list.domains import Attempt, Domains
from channels.email_list.enrolment import Enrolment, canonical
from channels.email_list.export import exported
from channels.email_list.incoming import Incoming
from channels.email_list.letter import Letter, Sender
from channels.email_list.post import Post
from channels.email_list.register import Register
from channels.email_list.relay import Access, Relay
from channels.email_list.returns import Returns
from channels.email_list.session import End, Mail
from channels.email_list.settings import DkimSettings, DomainRate, IncomingSettings, RelaySettings, Settings
from channels.email_list.subscribers import BadSubscribers, is_address
from channels.email_list.unsubscribe import application
from dispatcher.channel import Channel, Inbox, Limits, Probe, Recipient, Tell
from dispatcher.errors import Finding, InvalidInput, TemporaryFailure
from dispatcher.listening import host_and_port, listening
from dispatcher.log import logger
from dispatcher.model.alert import Alert, Info
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import M
from dispatcher.model.question import Question
from dispatcher.model.rendering import Part, Rendering, Text
from dispatcher.model.topic import WORDS, Topic
from dispatcher.staff.mailing import Exported

__all__ = ["DkimSettings", "DomainRate", "EmailList", "IncomingSettings", "Kind", "RelaySettings", "Settings"]

PAGE = 1_000
"""Addresses read from the index at once."""
LARGEST_MAIL_BYTES = 100_000
_QUEUED = re.compile(r"queued as (\S{1,80})")

log = logger(__name__)


class EmailList(Channel[M, Settings]):
    kind: ClassVar[str] = "email_list"
    title: ClassVar[str] = "登録メール"
    title_en: ClassVar[str] = "Registered mail"
    Settings: ClassVar[type[Any]] = Settings
    asks: ClassVar[bool] = True

    @property
    def limits(self) -> Limits:
        return Limits(
            concurrency=self.settings.connections,
            batch=500,
            attempt_timeout_s=max(120.0, 4 * self.settings.timeout),
            first_backoff_s=2.0,
            longest_backoff_s=60.0,
        )

    async def audience(self, quarters: Sequence[str]) -> Audience:
        return await self.audience_for(quarters, Topic.EMERGENCY)

    async def audience_for(self, quarters: Sequence[str], topic: Topic) -> Audience:
        count = 0
        if quarters:
            await self._refresh()
            count = await asyncio.to_thread(self._people.count, quarters, topic)
        where = self.surroundings.city.say(quarters, "ja") if quarters else "地域なし"
        said = "" if topic is Topic.EMERGENCY else f"（{WORDS[topic]}を選んだ人）"
        return Audience(self.kind, tuple(quarters), count, f"{where}の登録メール {count} 人{said}", topic)

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        if not audience.quarters:
            return
        await self._refresh()
        last = ""
        while page := await asyncio.to_thread(self._people.members, audience.quarters, last, PAGE, audience.topic):
            for address in page:
                yield Destination(address)
            last = page[-1]

    def open(self, inbox: Inbox) -> AbstractAsyncContextManager[object]:
        """Connections are made when there is mail; the door for unsubscribing stands open.

        Raises (on entering):
            OSError: the address of `listen` is taken.
        """
        return self._opened(inbox)

    @asynccontextmanager
    async def _opened(self, inbox: Inbox) -> AsyncIterator[None]:
        await self._refresh()
        async with AsyncExitStack() as stack:
            door = application(self._sender, self._leave, self.surroundings.clock.now)
            await stack.enter_async_context(listening(door, *host_and_port(self.settings.listen)))
            incoming: IncomingSettings | None = self.settings.incoming
            if incoming is not None:
                returns = Returns(
                    self.kind, self._sender, self._people, self.settings.filtering, inbox, self.surroundings.clock
                )
                back = Incoming(incoming.enrol, self.settings.sender, self._asked, returns.came)
                await stack.enter_async_context(back.listening(*host_and_port(incoming.listen)))
            stack.callback(self._relay.close)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tending = [tasks.create_task(self._relay.tend()), tasks.create_task(self._post.run())]
            try:
                yield
            finally:
                for task in tending:
                    task.cancel()

    @cached_property
    def register(self) -> Enrolment:
        """What the residents' pages ask."""
        around = self.surroundings
        return Enrolment(
            self._people,
            self._post,
            self.settings.secret,
            city=around.city,
            mode=self.mode,
            site_url=around.site_url,
            clock=around.clock,
        )

    async def exported(self) -> Exported:
        """The list as the city's own file (dispatcher/staff/mailing.py)."""
        await self._refresh()
        s, now = self.settings, self.surroundings.clock.now()

        def write() -> Exported:
            return exported(
                self._people.everybody(),
                self._people.gone(),
                list_id=s.list_id,
                mode=self.mode.name,
                at=now,
                secret=s.secret,
            )

        return await asyncio.to_thread(write)

    async def suspended(self) -> Sequence[tuple[str, int]]:
        """How many get nothing because mail to them came back, by the reason."""
        return await asyncio.to_thread(self._people.suspended)

    async def restore(self, address: str) -> bool:
        """Try a suspended address again."""
        return await asyncio.to_thread(self._people.restore, canonical(address))

    def _asked(self, sender: str, data: bytes) -> None:
        """An empty mail came: whoever may be answered gets a link."""
        ours = {self.settings.sender.lower()}
        if self.settings.incoming is not None:
            ours.add(self.settings.incoming.enrol.lower())
        if may_answer(sender, data, ours):
            self.register.answer(sender, message_id(data))

    async def probe(self) -> Probe:
        clock = self.surroundings.clock
        started_s = clock.monotonic()
        try:
            async with asyncio.timeout(self.settings.timeout):
                code, words = await self._relay.check()
        except TemporaryFailure as failure:
            return Probe(is_up=False, words=str(failure))
        except TimeoutError:
            return Probe(is_up=False, words=f"{self.settings.timeout:g} 秒待っても答えがありません (no answer)")
        latency_s = clock.monotonic() - started_s
        return Probe(is_up=200 <= code < 300, words=f"中継サーバ: {code} {words}", latency_s=latency_s)

    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        del audience
        if not alert.info:
            raise InvalidInput([Finding("info", f"{alert.identifier} has no text in any language")])
        written = [self._written(alert, info) for info in alert.info]
        parts = [part for _, part in written]
        return Rendering(
            channel=self.kind,
            identifier=alert.identifier,
            status=alert.status,
            texts=tuple(text for text, _ in written),
            parts=tuple(parts),
            findings=tuple(
                Finding(part.name, f"{len(part.data)} バイトは長すぎます（{LARGEST_MAIL_BYTES} まで）")
                for part in parts
                if len(part.data) > LARGEST_MAIL_BYTES
            ),
        )

    def _written(self, alert: Alert[M], info: Info) -> tuple[Text, Part]:
        banner = self.mode.banner(info.language)
        lines = [letter.subject(info, alert, banner), *letter.section(info, alert)]
        template = letter.write(alert, info.language, self._sender, banner).template
        return Text(info.language, "\n".join(lines)), Part(f"mail-{info.language}.eml", "message/rfc822", template)

    def _ask(self, question: Question[M]) -> Rendering[M]:
        return Rendering(
            channel=self.kind,
            identifier=question.identifier,
            status=question.status,
            texts=tuple(Text(asking.language, "\n".join(letter.asking_lines(asking))) for asking in question.said),
            parts=tuple(
                Part(
                    f"mail-{asking.language}.eml",
                    "message/rfc822",
                    letter.ask(question, asking.language, self._sender).template,
                )
                for asking in question.said
            ),
        )

    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        addresses = [d.address for d in destinations]
        languages = await asyncio.to_thread(self._people.languages, addresses)
        # Who signed up at another node of this ledger is unknown here, and hears of it all the same.
        no_more = await asyncio.to_thread(self._people.no_more, addresses)
        letters = _letters(rendering, self._keys)
        gentle = self._domains.attempt()

        def mails() -> Iterator[Mail]:
            for address in (d.address for d in destinations):
                if address in no_more:
                    tell(
                        Told(
                            address,
                            Outcome.PERMANENT,
                            "配信をやめたか、戻るので止めています (unsubscribed or suspended)",
                        )
                    )
                elif self._may(gentle, address, tell):
                    language = languages.get(address, "ja")
                    letter = _in_language(letters, language)
                    yield self._mail(address, letter.to(address, rendering.identifier, self._sender, language))

        await self._hand_over(mails(), tell)

    async def _send_each(self, rendering: Rendering[M], recipients: Sequence[Recipient], tell: Tell) -> None:
        letters = _letters(rendering, self._keys)
        gentle = self._domains.attempt()

        def mails() -> Iterator[Mail]:
            for one in recipients:
                if not is_address(one.address):
                    tell(Told(one.address, Outcome.PERMANENT, "メールアドレスではありません (no address)"))
                elif self._may(gentle, one.address, tell):
                    letter = _in_language(letters, one.language)
                    yield self._mail(one.address, letter.to_one(one, rendering.identifier, self._sender))

        await self._hand_over(mails(), tell)

    def _may(self, gentle: Attempt, address: str, tell: Tell) -> bool:
        """Whether its domain bears a mail now; told when not."""
        wait_s = gentle.wait_s(_domain(address))
        if wait_s > 0:
            words = f"{_domain(address)} は少しずつ送ります (rate of the domain)"
            tell(Told(address, Outcome.TEMPORARY, words, retry_after_s=wait_s))
        return wait_s <= 0

    def _mail(self, address: str, data: bytes) -> Mail:
        return Mail(self._sender.bounces(address).encode(), address.encode(), data)

    async def _hand_over(self, waiting: Iterator[Mail], tell: Tell) -> None:
        while (mail := next(waiting, None)) is not None:
            is_heard, why = False, ""

            def ended(mail: Mail, end: End, code: int, words: str) -> None:
                nonlocal is_heard, why
                is_heard = is_heard or end in {End.TAKEN, End.REFUSED}
                told = self._told(mail.recipient.decode(), end, code, words)
                why = told.words
                tell(told)

            async with self._relay.session() as session:
                room = max(1, self.settings.mails_per_connection - session.sent)
                await session.deliver(chain([mail], islice(waiting, room - 1)), ended)
            if not is_heard:
                raise TemporaryFailure(why or "中継サーバとの接続が切れました (connection closed)")

    def _told(self, address: str, end: End, code: int, words: str) -> Told:
        said = f"{code} {words}" if code else words or "connection closed"
        match end:
            case End.TAKEN:
                queued = _QUEUED.search(words)
                return Told(address, Outcome.TAKEN, said, medium_id=queued[1] if queued else "")
            case End.REFUSED if code >= 500:
                return Told(address, Outcome.PERMANENT, said)
            case End.REFUSED:
                if code == 421 or words.startswith("4.7"):
                    self._domains.said_later(_domain(address))
                return Told(address, Outcome.TEMPORARY, said)
            case End.TURNED_AWAY:
                return Told(address, Outcome.TEMPORARY, f"中継サーバが受け付けません: {said}")
            case End.UNKNOWN:
                return Told(address, Outcome.UNKNOWN, f"送ったあとで接続が切れました: {said}")
            case End.NOT_SENT:
                return Told(address, Outcome.TEMPORARY, f"送る前に接続が切れました: {said}")

    async def _refresh(self) -> None:
        try:
            await asyncio.to_thread(self._people.refresh)
        except BadSubscribers as wrong:
            # Yesterday's list is better than none: the board's figures come from it, and the log says why.
            log.warning("channel.failed", channel=self.kind, reason=wrong.problems[0])

    async def _leave(self, address: str) -> None:
        await asyncio.to_thread(self._people.leave, address)

    @cached_property
    def _sender(self) -> Sender:
        s = self.settings
        return Sender(
            name=s.sender_name,
            address=s.sender,
            list_id=s.list_id,
            unsubscribe_url=s.unsubscribe_url,
            secret=s.secret,
        )

    @cached_property
    def _people(self) -> Register:
        token = self._sender.bounce_token
        return Register(self.settings.subscribers, self.surroundings.state_dir, token, self.surroundings.clock.now)

    @cached_property
    def _keys(self) -> tuple[Key, ...]:
        return tuple(dkim.signing() for dkim in self.settings.dkim)

    @cached_property
    def _post(self) -> Post:
        return Post(self._sender, self._keys, self._relay, self.surroundings.clock)

    @cached_property
    def _domains(self) -> Domains:
        rates = {gentle.domain: gentle.rate for gentle in self.settings.domains}
        return Domains(rates, self.settings.quiet, self.surroundings.clock)

    @cached_property
    def _relay(self) -> Relay:
        s, r = self.settings, self.settings.relay
        return Relay(
            Access(
                host=r.host,
                port=r.port,
                tls=r.tls,
                ca=r.ca,
                username=r.username,
                password=r.password,
                timeout_s=s.timeout,
                connections=s.connections,
                mails_per_connection=s.mails_per_connection,
            ),
            self.surroundings.clock,
        )


def _letters(rendering: Rendering[M], keys: tuple[Key, ...]) -> dict[str, Letter]:
    """By language, in the rendering's order."""
    return {part.name.removeprefix("mail-").removesuffix(".eml"): Letter(part.data, keys) for part in rendering.parts}


def _in_language(letters: Mapping[str, Letter], language: str) -> Letter:
    """The reader's own, else one that a reader of the same language knows, else the first."""
    if language in letters:
        return letters[language]
    spoken = language.partition("-")[0]
    kin = (letter for name, letter in letters.items() if name.partition("-")[0] == spoken)
    return next(kin, None) or next(iter(letters.values()))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


Kind = EmailList
