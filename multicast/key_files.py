"""A key on a disk: JSON that says what it is; the private half for its owner's eyes alone, the public one beside it as `FILE.pub`.

Source: NIST SP 800-57pt1r5 §6.2.2 (keys are told apart by what they are for).
"""

import json
import os
from pathlib import Path
from typing import Any, Final

KEY_BYTES: Final = 32


class BadKey(ValueError):  # noqa: N818 - says what was seen
    """A key or certificate that cannot be used; the text names the file and what is accepted."""


def write_private(path: Path, values: dict[str, str | None]) -> None:
    for taken in (path, public_path(path)):
        if taken.exists():
            raise BadKey(f"{taken}: stands there already; a key is never overwritten")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - mode from the first byte on
        json.dump(values, file)
        file.write("\n")


def write_public(path: Path, values: dict[str, str]) -> None:
    public_path(path).write_text(json.dumps(values) + "\n")


def public_path(path: Path) -> Path:
    return path.with_name(path.name + ".pub")


def read_private(path: Path, kind: str) -> dict[str, Any]:
    values = read_json(path)
    if values.get("kind") != kind:
        raise BadKey(f"{path}: kind: {values.get('kind')!r}; accepted is {kind}")
    if path.stat().st_mode & 0o077:
        raise BadKey(f"{path}: others may read this private key: chmod 600 {path}")
    return values


def read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(65_536))
    except OSError as error:
        raise BadKey(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadKey(f"{path}: not a key file of `todoke multicast keygen`") from error
    if not isinstance(values, dict):
        raise BadKey(f"{path}: not a key file of `todoke multicast keygen`")
    return values


def read_hex(path: Path, values: dict[str, Any], name: str) -> bytes:
    text = values.get(name)
    try:
        value = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        value = b""
    if len(value) != KEY_BYTES:
        raise BadKey(f"{path}: {name}: accepted are {KEY_BYTES} bytes in hexadecimal")
    return value
