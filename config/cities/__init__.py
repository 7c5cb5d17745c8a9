"""The cities that come with the product: `load("mitaka")`. A city is a folder here; CREDITS.md in it says where its data is from.

A facility's quarter is read from its address (大沢2-6-18 → 大沢二丁目), never from the cell that its point falls in: the cells
are approximate and about one in five facilities would be routed wrongly.

Source: GeoJSON, RFC 7946 §3.1 (longitude first there, latitude first here); 地方公共団体コード check digit, facts.md §CAP, JMA.
"""

import csv
import json
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from config.city import City, Facility, Quarter
from config.document import ConfigError, Problem

_HERE = Path(__file__).parent
_CHOME = "一二三四五六七八九"
_READINGS = ("いっ", "に", "さん", "よん", "ご", "ろく", "なな", "はっ", "きゅう")


def cities() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(sorted(path.parent.name for path in _HERE.glob("*/city.yaml")))


@cache
def load(name: str) -> City:
    """The city of that name.

    Raises:
        ConfigError: there is no such folder; the reason names those there are.
    """
    if name not in cities():
        raise ConfigError([Problem(name, 1, "city", f"no such city; there are {', '.join(cities())}")])
    folder = _HERE / name
    about = yaml.safe_load((folder / "city.yaml").read_text(encoding="utf-8"))
    code: str = about["code"]
    groups = {
        group: {
            "ja": group,
            "ja-x-easy": f"{group}（{reading}）",
            "en-US": roman,
            "en": roman,
            "zh": chinese,
            "ko": korean,
        }
        for group, (reading, roman, chinese, korean) in about["groups"].items()
    }
    quarters = _quarters(folder / f"{code}-towns-approx.geojson", about["groups"])
    return City(
        code=code,
        names=about["names"],
        senders=about["senders"],
        contact=about["contact"],
        groups=groups,
        quarters=quarters,
        facilities=_facilities(folder / f"{code}-shelters.csv", about["names"]["ja"], quarters),
        outline=tuple(
            _ring(ring)
            for feature in json.loads((folder / f"{code}-city-simple.geojson").read_text(encoding="utf-8"))["features"]
            for polygon in _polygons(feature["geometry"])
            for ring in polygon
        ),
        credits=tuple(about["credits"]),
    )


def check_code(code: str) -> str:
    """The six-digit municipality code of a five-digit one: 13204 → 132047."""
    weighted = sum(int(digit) * weight for digit, weight in zip(code, (6, 5, 4, 3, 2), strict=True))
    return f"{code}{(11 - weighted % 11) % 10}"


def _polygons(geometry: dict[str, Any]) -> list[list[list[list[float]]]]:
    return [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]


def _ring(ring: list[list[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((latitude, longitude) for longitude, latitude in ring)


def _quarters(path: Path, groups: dict[str, tuple[str, str, str, str]]) -> dict[str, Quarter]:
    quarters: dict[str, Quarter] = {}
    for feature in json.loads(path.read_text(encoding="utf-8"))["features"]:
        about = feature["properties"]
        group, chome = about["ooaza"], about["chome"]
        reading, roman, chinese, korean = groups[group]
        largest = max((polygon[0] for polygon in _polygons(feature["geometry"])), key=len)
        easy = f"{about['name']}（{reading} {_READINGS[chome - 1]}ちょうめ）"
        quarters[feature["id"]] = Quarter(
            code=feature["id"],
            group=group,
            names={
                "ja": about["name"],
                "ja-x-easy": easy,
                "en-US": f"{roman} {chome}-chome",
                "en": f"{roman} {chome}-chome",
                "zh": f"{chinese}{_CHOME[chome - 1]}丁目",
                "ko": f"{korean} {chome}초메",
            },
            latitude=about["lat"],
            longitude=about["lng"],
            outline=_ring(largest),
        )
    return quarters


def _facilities(path: Path, city: str, quarters: dict[str, Quarter]) -> tuple[Facility, ...]:
    by_name = {quarter.names["ja"]: quarter.code for quarter in quarters.values()}
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            Facility(
                code=row["id"],
                name=row["name"],
                address=row["address"],
                quarter=_quarter_of(row["address"], city, by_name),
                latitude=float(row["lat"]),
                longitude=float(row["lng"]),
                kind=row["kind"],
                hazards=frozenset(filter(None, row["hazards"].split("|"))),
                is_welfare=row["welfare"] == "True",
            )
            for row in csv.DictReader(file)
        )


def _quarter_of(address: str, city: str, by_name: dict[str, str]) -> str:
    """Code of the quarter that an address names; "" for an address outside the city."""
    found = re.search(
        rf"{city}(\D+?)([1-9])(?:-|先|丁目|番)", unicodedata.normalize("NFKC", address).replace("－", "-")
    )
    return by_name.get(f"{found[1]}{_CHOME[int(found[2]) - 1]}丁目", "") if found else ""
