"""Pages as an operator's machine reads them: XML, CSV, and the manifest that vouches for every file. FORMAT.md is their contract.

Source: FORMAT.md; RFC 4180 (CSV); XML 1.0 §2.2 (characters).
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from channels.cable_tv.characters import for_titler
from channels.cable_tv.pages import LOOPS, Page

FORMAT = "todoke-cable-tv/1"
NAMESPACE = "urn:todoke:cable-tv:1"
COLUMNS = ("kind", "number", "of", "language", "dwell_seconds", "loops", "image", "head", "text")

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_xml(message: Mapping[str, Any], pages: Sequence[Page]) -> bytes:
    """pages.xml. Characters that XML cannot hold become U+FFFD; a finding has named them."""
    attributes = {key: str(message[key]) for key in ("identifier", "status", "msgType", "sent") if message[key]}
    attributes |= {key: str(message[key]) for key in ("expires", "level") if message[key] is not None}
    root = ET.Element("message", {"xmlns": NAMESPACE, **attributes, "loops": str(LOOPS)})
    for page in pages:
        element = ET.SubElement(
            root,
            "page",
            {
                "kind": page.kind,
                "number": str(page.number),
                "of": str(page.count),
                "language": page.head.language,
                "dwell-seconds": f"{page.dwell_s:g}",
                "image": f"{page.name}.png",
            },
        )
        ET.SubElement(element, "head").text = _NOT_XML.sub("\ufffd", for_titler(page.head.words))
        for line in page.lines:
            ET.SubElement(element, "line").text = _NOT_XML.sub("\ufffd", for_titler(line))
    ET.indent(root)
    xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def as_csv(pages: Sequence[Page]) -> bytes:
    """pages.csv"""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for page in pages:
        head, lines = for_titler(page.head.words), for_titler("\n".join(page.lines))
        place = (page.kind, page.number, page.count, page.head.language, f"{page.dwell_s:g}", LOOPS, f"{page.name}.png")
        rows.writerow((*place, head, lines))
    return text.getvalue().encode()


def manifest(name: str, message: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """<name>.manifest.json over these files; same input, same bytes."""
    entries = [
        {"name": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in files.items()
    ]
    body = {"format": FORMAT, "name": name, **message, "loops": LOOPS, "files": entries}
    return json.dumps(body, ensure_ascii=False, indent=1).encode() + b"\n"


def is_writable_in_xml(text: str) -> bool:
    """Whether XML 1.0 has all its characters."""
    return _NOT_XML.search(text) is None
