"""A shelter's own page, `/s/{token}`: whoever is on duty there says 開設, 混雑, 満員 or 閉鎖 with one press, without signing in.

The link is made by staff and handed over; GET changes nothing, and a link that opens nothing says the same whatever was wrong
with it.

Source: issue "The residents' site"; mockups README (56 px targets, the act is written on the button).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from aiohttp import web

from config.city import Facility
from dispatcher.clock import JST
from dispatcher.errors import InvalidInput
from dispatcher.model.mode import Mode
from dispatcher.model.shelter import STATE_WORDS, ShelterState
from dispatcher.pages import Environment, environment
from dispatcher.residents import trouble
from dispatcher.residents.form import read
from dispatcher.tracking.shelters import Shelters

AT_THE_SHELTER = "at the shelter"
"""Who said it, as the ledger names them: the link is the shelter's and not a person's."""


class ShelterDoors:
    """The pages of all shelters of one node."""

    def __init__(self, shelters: Shelters, mode: type[Mode]) -> None:
        self._shelters = shelters
        self._mode = mode

    @property
    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.get("/s/{token}", self.look), web.post("/s/{token}", self.say)]

    async def look(self, request: web.Request) -> web.Response:
        """What the city says of this shelter now, and the five buttons."""
        place = await self._shelters.behind(request.match_info["token"])
        return self._page(place) if place else _nothing()

    async def say(self, request: web.Request) -> web.Response:
        """One of the five was pressed."""
        place = await self._shelters.behind(request.match_info["token"])
        if place is None:
            return _nothing()
        try:
            await self._shelters.say(place.code, (await read(request)).get("state", ""), by=AT_THE_SHELTER)
        except InvalidInput:
            return self._page(place, status=422)
        # So that going back or loading again says nothing twice.
        raise web.HTTPSeeOther(f"./{request.match_info['token']}")

    def _page(self, place: Facility, status: int = 200) -> web.Response:
        standing = self._shelters.states.get(place.code)
        text = (
            _pages()
            .get_template("shelter.html")
            .render(
                place=place,
                banner=self._mode.banner("ja"),
                word=STATE_WORDS[standing.state] if standing else "",
                at=standing.at.astimezone(JST) if standing else None,
                state=standing.state if standing else None,
                states=list(_BUTTONS.items()),
            )
        )
        return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


_BUTTONS = {
    ShelterState.OPEN: ("開設", "入れます", "Open"),
    ShelterState.CROWDED: ("混雑", "まだ入れます", "Crowded, still open"),
    ShelterState.FULL: ("満員", "入れません", "Full"),
    ShelterState.BEFORE: ("開設前", "準備中", "Not open yet"),
    ShelterState.CLOSED: ("閉鎖", "使えません", "Closed"),
}
"""Each with what it tells residents, in the order of a night."""


def _nothing() -> web.Response:
    return trouble(
        404,
        "このリンクは使えません",
        "市の災害対策本部に、新しいリンクを頼んでください。",
        "This link does not work. Ask the city's headquarters for a new one.",
    )


@cache
def _pages() -> Environment:
    return environment(Path(__file__).with_name("pages"))
