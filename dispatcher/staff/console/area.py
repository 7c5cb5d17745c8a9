"""区域: the city's map and the same quarters as boxes to tick; groups, saved areas, the whole city, a circle, a polygon.

The boxes are the choice; the map shows it without a script (map.py `ties`) and the script makes the map itself pressable. Every
button posts the boxes and comes back with more or fewer of them ticked. An empty choice stays empty: it is never the whole city.
The page stands alone at /areas, and in the middle of a message, whose whole form it then carries along (`carried`).

Source: issue "区域"; mockups `area.html`; design.md §7.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from config.city import City, Facility
from dispatcher.errors import Finding, InvalidInput, TodokeError
from dispatcher.staff import areas
from dispatcher.staff.console import leaflet
from dispatcher.staff.console import map as city_map
from dispatcher.staff.console.frame import packed, render
from dispatcher.staff.console.posted import all_of, fields
from dispatcher.staff.console.room import CONSOLE, Console, sitting, words
from dispatcher.staff.notebook import Reach

CHANGE = "_change"
"""The pressed button's field: `all`, `none`, `group:大沢`, `ungroup:大沢`, `saved:…`, `circle`, `polygon`, `save`, `remove:…`."""
FIELDS = frozenset({"_seal", "_act", CHANGE, "area", "centre", "radius_m", "polygon", "area_name"})
"""What belongs to this page and is not carried on."""
RADIUS_M = "500"
_PLACES = ("area", "centre", "radius_m", "polygon", "area_name", "name")


@dataclass(frozen=True, slots=True)
class Group:
    """One 大字 with its quarters; `counts` are those of each quarter on the channels that count."""

    name: str
    label: str
    quarters: tuple[tuple[str, str], ...]
    """Code and name."""

    def chosen(self, quarters: Sequence[str]) -> int:
        return sum(code in quarters for code, _ in self.quarters)


async def alone(request: web.Request) -> web.Response:
    """The page on its own: looking, saving, and beginning a message from it."""
    asked = request.query.getall("area", [])
    return await choose(request, [code for code in asked if code in request.app[CONSOLE].path.city.quarters])


async def changed(request: web.Request) -> web.Response:
    return await choose(request, await all_of(request, "area"))


async def use(request: web.Request) -> web.Response:
    """この区域で作成."""
    quarters = await all_of(request, "area")
    if not quarters:
        return await choose(request, (), findings=(_nothing(),), status=422)
    raise web.HTTPSeeOther(f"/compose?{urlencode([('area', code) for code in quarters])}")


async def choose(
    request: web.Request,
    quarters: Sequence[str],
    *,
    back: str = "",
    carried: Sequence[tuple[str, str]] = (),
    findings: Sequence[Finding] = (),
    status: int = 200,
) -> web.Response:
    """The page with these quarters ticked, after what the pressed button changes; `back` is where the choice is taken to."""
    console, t, by = request.app[CONSOLE], words(request), sitting(request).person
    city = console.path.city
    posted = await fields(request) if request.method == "POST" else {}
    chosen = [code for code in city.quarters if code in set(quarters)]
    found = list(findings)
    said = ""
    try:
        chosen, said = await _changed(console, request, chosen, posted)
    except InvalidInput as refused:
        found += refused.findings
        status = 422
    except TodokeError as refused:
        found.append(Finding("area_name", str(refused)))
        status = refused.http_status
    reach = await console.desk.reach(by, chosen)
    return await render(
        request,
        "areas.html",
        status=status,
        map=city_map.draw(city, "en-US" if t.language == "en" else "ja"),
        groups=_groups(city, "en-US" if t.language == "en" else "ja"),
        chosen=chosen,
        chosen_words=city.say(chosen, "en-US" if t.language == "en" else "ja") if chosen else "",
        saved=await console.desk.areas(by),
        reach=reach,
        unreached=unreached(reach, chosen),
        facilities=areas.facilities(city, chosen),
        centres=_centres(city),
        posted={"centre": "", "radius_m": RADIUS_M, "polygon": "", "area_name": "", **posted},
        findings={**dict.fromkeys(_PLACES), **{f.where: f for f in found}},
        said=said,
        back=back,
        carried=carried,
        CHANGE=CHANGE,
        leaflet=leaflet.addresses(),
        credits=city.credits,
    )


async def _changed(
    console: Console, request: web.Request, chosen: list[str], posted: Mapping[str, str]
) -> tuple[list[str], str]:
    """The choice after the pressed button, and what there is to say about it."""
    t, by, city = words(request), sitting(request).person, console.path.city
    change, _, name = posted.get(CHANGE, "").partition(":")
    added: Sequence[str] = ()
    if change == "all":
        added = tuple(city.quarters)
    elif change == "none":
        return [], t("すべて外しました。", "Nothing is chosen.")
    elif change in {"group", "ungroup"}:
        members = [q.code for q in city.quarters.values() if q.group == name]
        if change == "ungroup":
            return [code for code in chosen if code not in members], ""
        added = members
    elif change == "saved":
        added = next((a.quarters for a in await console.desk.areas(by) if a.name == name), ())
    elif change == "circle":
        added = areas.in_circle(city, _centre(city, posted.get("centre", "")), _radius_m(posted.get("radius_m", "")))
    elif change == "polygon":
        added = areas.in_polygon(city, areas.points_of(posted.get("polygon", "")))
    elif change == "save":
        kept = await console.desk.save_area(by, posted.get("area_name", ""), chosen)
        return chosen, t(f"「{kept.name}」として保存しました。", f"Saved as “{kept.name}”.")
    elif change == "remove":
        version = next((a.version for a in await console.desk.areas(by) if a.name == name), 0)
        await console.desk.remove_area(by, name, version)
        return chosen, t(f"「{name}」を消しました。", f"“{name}” is gone.")
    both = {*chosen, *added}
    more = len(both) - len(chosen)
    said = t(f"{more} 町丁目を足しました。", f"{more} quarters added.") if change else ""
    return [code for code in city.quarters if code in both], said


def _nothing() -> Finding:
    return Finding(
        "area", "町丁目を1つ以上選んでください。選ばないことは全域ではありません (choose at least one quarter)"
    )


def _groups(city: City, language: str) -> list[Group]:
    found: dict[str, list[tuple[str, str]]] = {}
    for quarter in city.quarters.values():
        found.setdefault(quarter.group, []).append((quarter.code, quarter.names.get(language) or quarter.names["ja"]))
    return [Group(name, city.group_name(name, language), tuple(members)) for name, members in found.items()]


def _centres(city: City) -> list[tuple[str, str]]:
    """What a circle may be drawn around: quarters, then facilities."""
    return [(q.code, q.names["ja"]) for q in city.quarters.values()] + [(f.code, f.name) for f in city.facilities]


def _centre(city: City, code: str) -> areas.Point:
    if (quarter := city.quarters.get(code)) is not None:
        return quarter.latitude, quarter.longitude
    facility: Facility | None = next((f for f in city.facilities if f.code == code), None)
    if facility is not None:
        return facility.latitude, facility.longitude
    if found := re.fullmatch(r"(-?\d{1,2}\.\d{1,9}),(-?\d{1,3}\.\d{1,9})", code):
        return float(found[1]), float(found[2])
    raise InvalidInput([Finding("centre", "円の中心を選んでください (choose the centre)")])


def _radius_m(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", text.strip()):
        raise InvalidInput([Finding("radius_m", f"{text[:20]}: メートルを数字で書いてください (metres)")])
    return float(text)


def unreached(reach: Sequence[Reach], quarters: Sequence[str]) -> tuple[str, ...]:
    """Quarters in which no channel knows anybody by name."""
    counting = [line for line in reach if any(count is not None for count in line.by_quarter.values())]
    return tuple(code for code in quarters if not any(line.by_quarter.get(code) for line in counting))


async def ties(request: web.Request) -> web.Response:
    """The style sheet between boxes and map; it is the city's, so it is made from the gazetteer."""
    return packed(request, city_map.ties(request.app[CONSOLE].path.city).encode(), "text/css; charset=utf-8")


async def geojson(request: web.Request) -> web.Response:
    """The cells for the larger map."""
    body = json.dumps(city_map.as_geojson(request.app[CONSOLE].path.city), ensure_ascii=False, separators=(",", ":"))
    return packed(request, body.encode(), "application/geo+json")


ROUTES = [
    web.get("/areas", alone),
    web.post("/areas", changed),
    web.post("/areas/use", use),
    web.get("/areas/ties.css", ties),
    web.get("/areas/quarters.geojson", geojson),
    web.get("/areas/leaflet/{name:[a-z0-9.-]+}", leaflet.file),
]
