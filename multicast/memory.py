"""What a receiver's folder remembers from run to run: the newest manifest's sequence, so that an older one stays refused.

Source: facts.md §Wi-Fi multicast "shown only after signature + hash + sequence > last".
"""

import json
import os
from pathlib import Path
from typing import Final

FILE: Final = ".multicast-sequence"


class BadFolder(ValueError):  # noqa: N818 - says what was seen
    """A folder that cannot be used; the text says why."""


def recall(folder: Path) -> int:
    """Make the folder if need be; the sequence of the newest manifest that it remembers, 0 if none.

    Raises:
        BadFolder: it cannot be made or read, or what it remembers is not ours.
    """
    memory = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return int(json.loads(memory.read_text())["sequence"])
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise BadFolder(f"{folder}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadFolder(f"{memory}: not what this program wrote; remove it to trust this folder anew") from error


def remember(folder: Path, sequence: int) -> None:
    """Raises OSError: the disk took nothing, and what stood there stands."""
    draft = folder / f"{FILE}.{os.getpid()}"
    draft.write_text(json.dumps({"sequence": sequence}) + "\n")
    draft.replace(folder / FILE)
