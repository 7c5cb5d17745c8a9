"""`/report` of a node that asks nobody whether they are safe: every page leads there, so it says whom to call instead.

Source: issue "The residents' site"; RFC 9110 §15.5.5.
"""

from html import escape

from aiohttp import web

from config.city import City
from dispatcher.residents import trouble

PATH = "/report"


def routes(city: City) -> list[web.AbstractRouteDef]:
    """The one page."""

    async def look(_request: web.Request) -> web.Response:
        return trouble(
            404,
            "ここでは受け付けていません",
            f"無事や困りごとは、市に電話してください：{escape(city.contact)}（{escape(city.senders['ja'])}）",
            f"Reports are not taken here. Please call the city: {escape(city.contact)}",
        )

    return [web.get(PATH, look)]
