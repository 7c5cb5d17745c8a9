"""確認しました: the page behind the link in a facility's mail. GET shows, one button acknowledges, nobody signs in.

Mail scanners open every link and some press what they find, so only a POST with the button's own field writes anything. A token
that is wrong, old or of a message that was replaced gets one page, the same for all of them.

Source: design.md §8 "Answer" (GET never changes anything); RFC 9110 §9.2.1.
"""

from pathlib import Path

from aiohttp import web

from config.city import City
from dispatcher import cap
from dispatcher.clock import Clock
from dispatcher.listening import remote_of
from dispatcher.model.mode import Mode
from dispatcher.pages import environment
from dispatcher.residents import form
from dispatcher.residents.guesses import Guesses
from dispatcher.tracking.acknowledgement import Asked, Facilities
from dispatcher.tracking.tokens import Door

_HERE = Path(__file__).parent / "facility"
GONE = 404


class Acknowledge:
    """The page of one city in one mode."""

    def __init__(self, facilities: Facilities, city: City, mode: type[Mode], web_url: str, clock: Clock) -> None:
        self._facilities = facilities
        self._guesses = Guesses(clock)
        self._templates = environment(_HERE)
        self._frame = {
            "banner": mode.banner("ja"),
            "city": city.senders["ja"],
            "contact": city.contact,
            "web": web_url.rstrip("/"),
        }

    def routes(self) -> list[web.RouteDef]:
        """For the residents' listener."""
        path = f"/{Door.ACKNOWLEDGE}/{{token}}"
        return [web.get(path, self._show), web.post(path, self._press)]

    async def _show(self, request: web.Request) -> web.Response:
        async with self._guesses.turn(remote_of(request)):
            return self._page(request, await self._facilities.look(request.match_info["token"]))

    async def _press(self, request: web.Request) -> web.Response:
        fields = await form.read(request)
        token = request.match_info["token"]
        is_pressed = fields.get("ack") == "1"
        async with self._guesses.turn(remote_of(request)):
            asked = await (self._facilities.acknowledge(token) if is_pressed else self._facilities.look(token))
            return self._page(request, asked)

    def _page(self, request: web.Request, asked: Asked | None) -> web.Response:
        if asked is None:
            self._guesses.wrong(remote_of(request))
            return self._html(GONE, "over.html")
        infos = {info.language: info for info in cap.read(asked.alert.cap_xml).info}
        ja = infos.get("ja") or next(iter(infos.values()))
        english = next((i for language, i in infos.items() if language.startswith("en")), None)
        lines = [line for text in (ja.description, ja.instruction) for line in (text or "").splitlines() if line]
        return self._html(
            200,
            "asked.html",
            asked=asked,
            headline=ja.headline or ja.event,
            lines=lines,
            english=(english.headline or english.event) if english else "",
        )

    def _html(self, status: int, name: str, **values: object) -> web.Response:
        text = self._templates.get_template(name).render(**self._frame, **values)
        return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")
