"""The site's scripts, its manifest and icon: files of the product, with the site's own words put in.

Source: W3C Web Application Manifest; Service Workers §4; HTML Standard §9.2 (EventSource).
"""

import json
from collections.abc import Mapping
from pathlib import Path

from channels.website.words import LANGUAGES, words
from config.city import City
from dispatcher.model.mode import Mode

_STATIC = Path(__file__).with_name("static")
_WORDS = b'"@WORDS@"'
"""Where a script's words go in: what JSON writes is JavaScript as well."""


def scripts(city: City, mode: type[Mode]) -> Mapping[str, bytes]:
    """Name in the folder → bytes."""
    offline = {tag: words(tag)["offline"] for tag in LANGUAGES}
    banner = {tag: {key: words(tag)[key] for key in ("level", "drill", "all", "lift", "retract")} for tag in LANGUAGES}
    said = {"live.js": {}, "sw.js": offline, "embed.js": banner}
    files = {name: _read(name).replace(_WORDS, json.dumps(texts).encode()) for name, texts in said.items()}
    name = f"{mode.banner('ja')}{city.names['ja']} {words('ja')['site']}"
    manifest = {
        "name": name,
        "short_name": f"{mode.banner('ja')}{city.names['ja']}",
        "lang": "ja",
        "start_url": "./",
        "scope": "./",
        "display": "browser",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}],
    }
    return {
        **files,
        "icon.svg": _read("icon.svg"),
        "site.webmanifest": json.dumps(manifest, ensure_ascii=False, indent=1).encode(),
    }


def _read(name: str) -> bytes:
    return (_STATIC / name).read_bytes()
