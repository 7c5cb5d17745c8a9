"""Hearing: an answer by a link, by a terminal's button, by staff, of somebody known by name alone; kept, folded, never undone.

What a person's reports add up to is folded here and written with the report itself; if their row was moved meanwhile, it is folded
anew. A wrong link costs one look at the ledger, as a right one does, and comes to the same nothing.

Source: design.md §8; tracking/answering.py; model/campaign.py `standing`.
"""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Generic

from config.ladders import Whom
from dispatcher.campaigns import Asked, Campaign, Campaigns, NewReply, Taken
from dispatcher.clock import Clock
from dispatcher.errors import NotFound, Refused, StorageFull
from dispatcher.model.campaign import Answer, Progress, Reply, Source, advance, standing
from dispatcher.model.mode import M
from dispatcher.model.question import Heard, Kind, Question, campaign_of
from dispatcher.model.report import Reported
from dispatcher.tracking.answering import Page
from dispatcher.tracking.confirmation.case import Case, Spoken, read_reply, write_reply
from dispatcher.tracking.confirmation.keys import KeyRing, Keys
from dispatcher.tracking.confirmation.round import Round, question
from dispatcher.tracking.tokens import hashed

TRIES = 50
"""Times that a report is folded anew because somebody else's came in between."""
MOST_AT_TERMINAL = 20
"""People who are asked by one terminal."""
KEPT = 64
"""Campaigns of which the body is at hand."""
FAMILY = "family"
"""Whom an answer is about: いっしょにいる家族全員."""
TERMINAL_MEDIUM = "ip_terminal"
SEEN_TO = frozenset({Progress.RESOLVED, Progress.EXEMPT})
"""Whoever speaks again after staff have seen to them is heard again, though they say the same."""
SPEAKS = {Source.SELF: Whom.SELF, Source.HOUSEHOLD: Whom.HOUSEHOLD}


class Bodies(Generic[M]):
    """Campaigns' bodies and questions as they were read last: the same for thousands of answers, and costly to make."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[tuple[str, int], tuple[Round, dict[tuple[int, Whom], Question[M]]]] = OrderedDict()

    def of(self, campaign: Campaign) -> Round:
        return self._kept(campaign)[0]

    def question(self, campaign: Campaign, mode: type[M], number: int, whom: Whom) -> Question[M]:
        """What somebody was asked first in this round."""
        body, asked = self._kept(campaign)
        if (number, whom) not in asked:
            asked[number, whom] = question(campaign.id, body, mode, number, 0, body.rounds[number - 1].at, whom)
        return asked[number, whom]

    def _kept(self, campaign: Campaign) -> tuple[Round, dict[tuple[int, Whom], Question[M]]]:
        version = (campaign.id, campaign.version)
        kept = self._bodies.get(version)
        if kept is None:
            kept = self._bodies[version] = (Round.of(campaign), {})
            while len(self._bodies) > KEPT:
                self._bodies.popitem(last=False)
        return kept


@dataclass(frozen=True, slots=True)
class Hearing(Generic[M]):
    """The half of the loop that listens. Keeps Answering (tracking/answering.py)."""

    mode: type[M]
    campaigns: Campaigns
    ring: KeyRing
    clock: Clock
    reported: Callable[[Campaign], Awaitable[None]]
    """Called when a report of somebody known by name came in that might find its person by itself."""
    bodies: "Bodies[M]" = field(default_factory=Bodies)

    # -- by a link ---------------------------------------------------------------------------------------------------

    async def look(self, token: str) -> Page | None:
        found = await self._found(token)
        return None if found is None else self._page(*found)

    def _page(self, row: Asked, source: Source, campaign: Campaign, keys: Keys) -> Page:
        spoken = Spoken.read(keys.open(row.sealed, row.id))
        whom = SPEAKS.get(source, Whom.RELATIVE)
        asked = self.bodies.question(campaign, self.mode, row.round, whom)
        is_own = source is Source.SELF
        language = spoken.language if is_own else spoken.theirs or spoken.language
        return Page(asked, source, language, "" if is_own else spoken.name)

    async def answer(self, token: str, answer: Answer, details: Mapping[str, str], medium: str) -> Page | None:
        found = await self._found(token)
        if found is None:
            return None
        row, source, campaign, keys = found
        saw = source is Source.SELF or details.get("saw") == "yes"
        kept = {name: text for name, text in details.items() if text and name != "saw"}
        # The round that they see has begun, whatever this machine's clock says.
        at = max(self.clock.now(), self.bodies.of(campaign).rounds[row.round - 1].at)
        reply = Reply(answer, source, saw, medium, at, kept)
        if not await self._take(campaign, keys, row, reply):
            return None
        if source is Source.SELF and details.get("who") == FAMILY:
            await self._take_of_home(campaign, keys, row, reply)
        return self._page(*found)

    async def _take_of_home(self, campaign: Campaign, keys: Keys, row: Asked, reply: Reply) -> None:
        """They are with their whole household: the same of each of it whom this campaign asks.

        Nothing of it comes back to who says so: not who belongs to it, and not whether anybody does.
        """
        home = Case.read(keys.open(row.sealed, row.id)).home
        for other in await self.campaigns.rows(campaign.id, [keys.person(pid) for pid in home]) if home else ():
            if other.progress in SEEN_TO and reply.answer is Answer.OK:
                continue
            own = [one for one in await self.replies(keys, campaign.id, other) if one.source is Source.SELF]
            # Who says of everybody at once how they are has not looked at somebody who says otherwise: both stay, and staff look.
            saw = not own or own[-1].round < other.round or own[-1].answer is reply.answer
            said = Reply(reply.answer, Source.HOUSEHOLD, saw, reply.medium, reply.at, {"who": FAMILY})
            await self._take(campaign, keys, other, said)

    async def _found(self, token: str) -> tuple[Asked, Source, Campaign, Keys] | None:
        found = await self.campaigns.by_token(hashed(token))
        # Looked for either way: a link of an event that is over costs what one costs that never was.
        campaign = await self._campaign(found[0].campaign if found else "")
        if found is None or campaign is None or campaign.is_destroyed:
            return None
        row, whose = found
        body = self.bodies.of(campaign)
        if not body.is_open or body.until <= self.clock.now():
            return None
        return row, Source(whose), campaign, self.ring.of(campaign)

    async def _campaign(self, campaign: str) -> Campaign | None:
        try:
            return await self.campaigns.get(campaign)
        except NotFound:
            return None

    # -- by a button -------------------------------------------------------------------------------------------------

    async def hear(self, heard: Sequence[Heard]) -> None:
        """As Inbox.hear (channel.py)."""
        for one in heard:
            await self._pressed(one)

    async def _pressed(self, heard: Heard) -> None:
        try:
            name, number = campaign_of(heard.identifier)
            campaign = await self.campaigns.get(name)
            keys = self.ring.of(campaign)
        except (ValueError, NotFound):
            return  # of a campaign that there is not, or no longer
        body = Round.of(campaign)
        if not body.is_open or not 0 < number <= len(body.rounds):
            return
        found: list[tuple[Asked, str]] = []
        while len(found) < MOST_AT_TERMINAL and (
            one := await self.campaigns.by_token(hashed(keys.button(heard.address, len(found))))
        ):
            found.append(one)
        # A terminal's clock may be wrong, but the question that it answers says in which round it was pressed.
        at = max(min(heard.at, self.clock.now()), body.rounds[number - 1].at)
        is_alone = len({row.id for row, _ in found}) == 1
        for row, whose in found:
            # At a terminal of several people whoever pressed speaks for the household. Whether they saw each of it nobody
            # knows: their "ok" takes nobody's call for help away.
            source = Source(whose) if is_alone else Source.HOUSEHOLD
            saw = is_alone and source in {Source.SELF, Source.HOUSEHOLD}
            reply = Reply(heard.answer, source, saw, TERMINAL_MEDIUM, at)
            # The same press, come twice, is one, whatever was heard in between.
            once = keys.reply("button", heard.identifier, heard.address, row.id, heard.answer, heard.at.isoformat())
            await self._take(campaign, keys, row, reply, once=once)

    # -- by staff ----------------------------------------------------------------------------------------------------

    async def told(self, by: str, campaign_id: str, person: str, reply: Reply) -> None:
        campaign = await self.campaigns.get(campaign_id)
        keys = self.ring.of(campaign)
        if not Round.of(campaign).is_open:
            raise Refused("この安否確認は終わりました (it is closed)")
        rows = await self.campaigns.rows(campaign_id, [person])
        if not rows:
            raise NotFound("その人はいません (no such person)")
        await self._take(campaign, keys, rows[0], reply, by=by)

    # -- of somebody known by name -----------------------------------------------------------------------------------

    async def asking(self) -> Question[Any] | None:
        campaign = await self._open()
        if campaign is None:
            return None
        body = Round.of(campaign)
        return question(campaign.id, body, self.mode, len(body.rounds), 0, body.rounds[-1].at, Whom.SELF)

    async def report(self, reported: Reported) -> bool:
        campaign = await self._open(reported.quarter)
        if campaign is None:
            return False
        keys = self.ring.of(campaign)
        id_ = keys.reply("name", reported.key)
        sealed = keys.close(_json({**asdict(reported), "at": reported.at.isoformat()}), f"reply:{id_}")
        taken = await self.campaigns.reply(
            [NewReply(campaign.id, id_, "", 0, min(reported.at, self.clock.now()), keys.standing(None), sealed=sealed)]
        )
        if reported.quarter and (reported.birth_date or reported.phone):
            await self.reported(campaign)
        return taken[0] in {Taken.NEW, Taken.SAME}

    async def _open(self, quarter: str = "") -> Campaign | None:
        """The one that asks about this quarter, else any; about safety before the daily touch; of several the newest."""
        found = [
            (body.kind == Kind.SAFETY, quarter in body.quarters, campaign)
            for campaign in await self.campaigns.all()
            if not campaign.is_destroyed and (body := self.bodies.of(campaign)).is_open
        ]
        return max(found, key=lambda one: one[:2], default=(False, False, None))[2]

    # -- folding -----------------------------------------------------------------------------------------------------

    async def _take(
        self, campaign: Campaign, keys: Keys, row: Asked, reply: Reply, *, by: str = "", once: str = ""
    ) -> bool:
        """Write a report down with what it comes to. False: the person or the campaign is gone."""
        for _ in range(TRIES):
            if row.round > len(self.bodies.of(campaign).rounds):
                campaign = await self.campaigns.get(campaign.id)  # asked anew meanwhile
            began = self.bodies.of(campaign).rounds[row.round - 1].at
            heard: list[Reply] = await self.replies(keys, campaign.id, row)
            reply = replace(reply, round=row.round)
            if not once and row.progress not in SEEN_TO and _is_said(heard, reply):
                return True
            now = standing([*heard, reply], number=row.round, since=None if row.round == 1 else began)
            progress = Progress(row.progress)
            if now.event is not None:
                progress = advance(progress, now.event)
            said = write_reply(reply, by)
            # By all that was said: two of a family may say the same of somebody in the same microsecond, each with their words.
            id_ = once or keys.reply("heard", row.id, str(row.replies), said.decode())
            new = NewReply(
                campaign=campaign.id,
                id=id_,
                person=row.id,
                expected_version=row.version,
                at=reply.at,
                standing=keys.standing(now.answer),
                progress=progress,
                is_conflict=now.is_conflict,
                sealed=keys.close(said, f"reply:{id_}"),
            )
            taken = (await self.campaigns.reply([new]))[0]
            if taken is not Taken.STALE:
                return taken is not Taken.GONE
            rows = await self.campaigns.rows(campaign.id, [row.id])
            if not rows:
                return False
            row = rows[0]
        raise StorageFull("answers of one person come in faster than they can be kept")

    async def replies(self, keys: Keys, campaign: str, row: Asked) -> list[Reply]:
        """All that was heard of a person, oldest first."""
        if not row.replies:
            return []
        kept = await self.campaigns.replies(campaign, row.id)
        return [read_reply(keys.open(one.sealed, f"reply:{one.id}")) for one in kept]


def _is_said(heard: Sequence[Reply], reply: Reply) -> bool:
    """Whether it is what the same source said last: a second tap, a page loaded anew."""
    last = next((one for one in reversed(heard) if one.source is reply.source), None)
    return last is not None and replace(last, at=reply.at) == reply and heard[-1] == last


def _json(values: Any) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def read_reported(data: bytes) -> Reported:
    values = json.loads(data)
    return Reported(**{**values, "answer": Answer(values["answer"]), "at": datetime.fromisoformat(values["at"])})
