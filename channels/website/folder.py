"""The folder that any web server can serve: files appear whole or not at all, each with its .gz beside it.

A file is written under a hidden name, brought to the disk, and renamed over the old one; then the folder itself is brought to
the disk. What is the same already is not written again. One lock for each folder, over threads and processes: whoever holds
it may write.

Source: rename(2), fsync(2); nginx ngx_http_gzip_static_module; facts.md §Website "Publisher".
"""

import errno
import fcntl
import gzip
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dispatcher.errors import TemporaryFailure

LOCK_WAIT_S = 10.0
Seen = tuple[int, int, int]


class Folder:
    """Names are relative, with `/`; those that begin with a dot are the folder's own and are not for residents."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes inside.

        Raises:
            TemporaryFailure: somebody else is writing, or the disk says no.
        """
        if not self._turn.acquire(timeout=LOCK_WAIT_S):
            raise TemporaryFailure(f"{self.path}: 書き込み中です", retry_after_s=1.0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
        except BlockingIOError:
            raise TemporaryFailure(f"{self.path}: 他のノードが書き込み中です", retry_after_s=0.2) from None
        except OSError as error:
            wait_s = 10.0 if error.errno == errno.ENOSPC else None
            raise TemporaryFailure(f"{self.path}: 書き込めません: {error.strerror}", retry_after_s=wait_s) from error
        finally:
            self._turn.release()

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def seen(self, name: str) -> Seen | None:
        """Differs whenever the file was replaced; None where there is none."""
        try:
            found = (self.path / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def names(self, folder: str) -> list[str]:
        """What stands directly in this folder, sorted; nothing where there is none."""
        try:
            return sorted(found.name for found in (self.path / folder).iterdir())
        except FileNotFoundError:
            return []

    def write(self, name: str, data: bytes) -> bool:
        """Whether it was not there before with the same bytes."""
        is_new = self.read(name) != data
        if is_new:
            _replace(self.path / name, data)
        return is_new

    def write_served(self, name: str, data: bytes) -> None:
        """As `write`, with a .gz beside it for servers that send it as it stands."""
        if self.read(name) == data and self.seen(f"{name}.gz"):
            # The .gz went first, so it is of these bytes.
            return
        packed = gzip.compress(data, compresslevel=9, mtime=0)
        # A reader meets the new file with the old .gz for a moment; the .gz is what browsers get, so it goes first.
        self.write(f"{name}.gz", packed)
        self.write(name, data)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.new")
    try:
        with hidden.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
