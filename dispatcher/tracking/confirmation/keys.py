"""The keys of one campaign, all made of the one that is destroyed 30 days after it was closed.

Source: design.md §8 "Privacy"; dispatcher/sealing.py.
"""

import secrets
from collections import OrderedDict

from dispatcher.campaigns import Campaign
from dispatcher.errors import NotFound
from dispatcher.model.campaign import Answer
from dispatcher.sealing import KEY_BYTES, Box, Coder, Unopened, derived
from dispatcher.tracking.tokens import Tokens

KEPT = 64
"""Campaigns whose keys are at hand."""
MOST_KNOWN = 2_000
"""Codes at hand: a city has some dozens of quarters, schools and cohorts, and 100,000 people who share them."""
UNHEARD = "unheard"


class Keys:
    """Seals, codes and links of one campaign."""

    __slots__ = ("_box", "_campaign", "_coder", "_known", "_tokens")

    def __init__(self, campaign: str, secret: bytes) -> None:
        self._campaign = campaign
        self._box = Box(secret, "safety case")
        self._coder = Coder(secret, "safety code")
        self._tokens = Tokens(derived(secret, "safety link"))
        self._known: dict[tuple[str, str], str] = {}

    def person(self, pid: str) -> str:
        """Pseudonym of somebody of the roster, in this campaign alone."""
        return self._coder.code("person", pid)

    def code(self, kind: str, value: str) -> str:
        """What a value is found and counted by; "" for none."""
        code = self._known.get((kind, value))
        if code is None:
            code = self._coder.code(kind, value) if value else ""
            if len(self._known) < MOST_KNOWN:
                self._known[kind, value] = code
        return code

    def standing(self, answer: Answer | None) -> str:
        return self.code("standing", answer or UNHEARD)

    def reply(self, *parts: str) -> str:
        """Idempotency key of what was heard."""
        return self._coder.code("reply", "\0".join(parts), size_bytes=16)

    def token(self, person: str, link: str) -> str:
        """Of the link by which one person, or somebody of theirs, answers."""
        return self._tokens.derive(self._campaign, person, link)

    def button(self, tid: str, place: int) -> str:
        """As a token, of the person who stands at this place among those whom a terminal asks about."""
        return self._tokens.derive(self._campaign, "terminal", tid, str(place))

    def close(self, data: bytes, person: str) -> bytes:
        return self._box.close(data, f"{self._campaign}\0{person}".encode())

    def open(self, sealed: bytes, person: str) -> bytes:
        """Raises Unopened."""
        return self._box.open(sealed, f"{self._campaign}\0{person}".encode())


class KeyDiffers(NotFound):
    """Another site's secret sealed the campaign's key."""


class KeyRing:
    """Campaigns' keys, opened with the site's."""

    def __init__(self, site_secret: bytes) -> None:
        self._box = Box(site_secret, "safety campaign key")
        self._kept: OrderedDict[tuple[str, bytes], Keys] = OrderedDict()

    def new(self, campaign: str) -> bytes:
        """A new campaign's key, sealed."""
        return self._box.close(secrets.token_bytes(KEY_BYTES), campaign.encode())

    def of(self, campaign: Campaign) -> Keys:
        """Raises NotFound: the key is destroyed or did not come out of a backup; KeyDiffers."""
        if campaign.is_destroyed or not campaign.sealed_key:
            raise NotFound("この安否確認の名前と回答は消しました (its names and answers are destroyed)")
        kept = self._kept.get((campaign.id, campaign.sealed_key))
        if kept is None:
            try:
                secret = self._box.open(campaign.sealed_key, campaign.id.encode())
            except Unopened:
                raise KeyDiffers(
                    "この安否確認の鍵が開きません。safety.key を確かめてください (safety.key differs)"
                ) from None
            kept = self._kept[campaign.id, campaign.sealed_key] = Keys(campaign.id, secret)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return kept

    def forget(self, campaign: str) -> None:
        """Its key is destroyed: nothing in memory outlives it."""
        for key in [key for key in self._kept if key[0] == campaign]:
            del self._kept[key]
