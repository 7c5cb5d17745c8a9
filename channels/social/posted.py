"""What this node has posted, kept across crashes, so that a thread goes on where it stopped and a 取消 finds its original.

One JSON line a fact, flushed to the disk before the channel goes on: first `{"digest", "identifier"}`, the intent, written
before the first post leaves; then `{"digest", "n", "id"}` for each post that X took. An intent without all its posts means
"look at the timeline before posting". The newest facts are kept, the rest is dropped when the file is opened.

The file is a memory, not a truth: when it is lost or cannot be written, X's own refusal of duplicates stands behind it.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

KEPT_LINES = 5000
"""About 700 alerts of a long thread each."""


class Posted:
    """The posts of this account by rendering digest, and the first post of each alert by its identifier."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._posts: dict[str, dict[int, str]] = {}
        self._digests: dict[str, str] = {}
        self._load()

    def was_tried(self, digest: str) -> bool:
        """Whether an attempt at this rendering began, now or before a crash."""
        return digest in self._posts

    def posts(self, digest: str) -> dict[int, str]:
        """Post ids by place in the thread, from 0, as far as known."""
        return dict(self._posts.get(digest, {}))

    def first_of(self, identifier: str) -> str | None:
        """The first post of an alert, or None where this node does not know it."""
        return self._posts.get(self._digests.get(identifier, ""), {}).get(0)

    def begin(self, digest: str, identifier: str) -> None:
        """Note the intent.

        Raises:
            OSError: it is remembered, but not on the disk.
        """
        self._digests[identifier] = digest
        if digest not in self._posts:
            self._posts[digest] = {}
            self._append({"digest": digest, "identifier": identifier})

    def add(self, digest: str, n: int, post_id: str) -> None:
        """Note that X took post `n`.

        Raises:
            OSError: it is remembered, but not on the disk.
        """
        self._posts.setdefault(digest, {})[n] = post_id
        self._append({"digest": digest, "n": n, "id": post_id})

    def _append(self, fact: dict[str, object]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fact, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _load(self) -> None:
        with suppress(FileNotFoundError):
            lines = self._path.read_text("utf-8", errors="replace").splitlines()
            kept = [line for line in lines[-KEPT_LINES:] if self._read(line)]
            if len(kept) < len(lines):  # too many, or a line that a crash tore
                fresh = self._path.with_suffix(".new")
                fresh.write_text("".join(f"{line}\n" for line in kept), "utf-8")
                fresh.replace(self._path)

    def _read(self, line: str) -> bool:
        try:
            fact = json.loads(line)
            posts = self._posts.setdefault(str(fact["digest"]), {})
            if "identifier" in fact:
                self._digests[str(fact["identifier"])] = str(fact["digest"])
            else:
                posts[int(fact["n"])] = str(fact["id"])
        except (ValueError, LookupError, TypeError):
            return False
        return True
