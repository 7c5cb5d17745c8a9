"""What schemathesis cannot guess: identifiers that exist, and words that a template accepts.

Requests that are meant to be wrong are left as they are. A halt and a pause are mostly rehearsed, or all that follows would only be
told that the node is halted.
"""

import json
import os
import zlib

import schemathesis
from schemathesis import GenerationMode

KNOWN = json.loads(os.environ["TODOKE_FUZZ"])
TYPED = {"template": "evacuation-order", "areas": ["大沢"], "note": "区域の誤り"}
STOPPING = ("/halt", "/channels/{kind}/pause")


def chosen(*parts):
    """A number that depends on what was drawn alone, so that a seed gives the same run."""
    return zlib.crc32(repr(parts).encode())


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    path = case.operation.path
    number = chosen(path, case.path_parameters, case.body)
    if number % 4 and "id" in (case.path_parameters or {}):
        known = KNOWN["alerts" if path.startswith("/alerts") else "drafts"]
        case.path_parameters["id"] = known[number % len(known)]
    if number % 4 and "kind" in (case.path_parameters or {}):
        case.path_parameters["kind"] = "website"
    if isinstance(case.body, dict):
        if number % 4 and "mode" in case.body:
            case.body["mode"] = "drill"
        if number % 5 and "hash" in case.body:
            case.body["hash"] = KNOWN["hashes"].get(case.path_parameters["id"], case.body["hash"])
        if number % 3 and isinstance(case.body.get("typed"), dict):
            case.body["typed"] = {**TYPED, "cause": case.body["typed"].get("cause")}
    if path in STOPPING and number % 8:
        case.query = {**(case.query or {}), "dry_run": "true"}
