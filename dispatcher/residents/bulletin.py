"""Serves the site's folder to residents: files as they stand, from memory, with the headers that let caches carry the crowd.

What a file was is kept ready to send, head and all, and looked up by inode, time and size, so that a file that was renamed over
the old one is seen at once and an unchanged one costs a stat and one write. Whatever a client sends, the answer is small and the
work is bounded: GET and HEAD only, one folder only, nothing hidden, short lines, few headers, idle connections closed.

Source: RFC 9110 §8.8.3 (ETag), §12.5.3 (Accept-Encoding), §13.1.2; RFC 9111 §5.2; RFC 5861; facts.md §Website "Publisher".
"""

import gzip
import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

from dispatcher.listening import FIRST
from dispatcher.residents.prerendered import WRITE_BYTES, Prerendered, may_be_given

MEMORY_BYTES = 64_000_000
"""Of files kept ready; the one unused longest goes first."""
FILE_BYTES = 5_000_000
"""A larger one is not ours: the site has none."""

CACHE = "public, max-age=5, stale-while-revalidate=60, stale-if-error=86400"

_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".xml": "application/cap+xml",
        ".atom": "application/atom+xml; charset=utf-8",
        ".rss": "application/rss+xml; charset=utf-8",
        ".json": "application/json",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
        ".webmanifest": "application/manifest+json",
    }
)
"""What the site consists of; anything else in the folder is not served."""

_GUARD: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; worker-src 'self'; "
            "manifest-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ),
        "X-Robots-Tag": "all",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Access-Control-Allow-Origin": "*",
    }
)

_MORE = ("If-None-Match", "Expect")
"""Headers of a request for more than the file."""
_OF_THE_BODY = frozenset({"Content-Type", "Content-Encoding"})

_NOT_FOUND = """<!doctype html>
<html lang="ja">
<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>ページがありません</title>
<body style="font:1.125rem/1.6 sans-serif;margin:2rem auto;max-width:42rem;padding:0 1rem">
<h1>ページがありません</h1>
<p>住所（URL）が違うか、なくなったページです。</p>
<p lang="en">There is no such page.</p>
<p><a href="/">防災のお知らせ <span lang="en">Disaster information</span></a></p>
</body>
</html>
""".encode()


@dataclass(frozen=True, slots=True)
class _Ready:
    """One file, ready to send: what it was when it was read, and an answer in each encoding."""

    path: str
    version: tuple[int, int, int]
    plain: bytes
    packed: bytes | None
    media_type: str
    tag: str
    wholes: Mapping[bool, Prerendered]
    """Packed or not → the answer as it goes on the wire; empty where it is too large for one write."""

    @property
    def size_bytes(self) -> int:
        return len(self.plain) + len(self.packed or b"")


class _Files:
    """The folder's files, kept ready. Reading one blocks for as long as a small local file takes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._ready: OrderedDict[str, _Ready] = OrderedDict()
        self._size_bytes = 0

    def again(self, name: str) -> _Ready | None:
        """As `get`, of a name that was got before."""
        return self.get(name) if name in self._ready else None

    def get(self, name: str) -> _Ready | None:
        """The file of this relative name, or None where there is none to serve."""
        ready = self._ready.get(name)
        path = ready.path if ready else self._path(name)
        if path is None:
            return None
        try:
            seen = os.stat(path)  # noqa: PTH116 - the one thing that each request costs
        except (OSError, ValueError):
            self._forget(name)
            return None
        if ready is None or ready.version != (seen.st_ino, seen.st_mtime_ns, seen.st_size):
            self._forget(name)
            return self._read(name, Path(path))
        self._ready.move_to_end(name)
        return ready

    def is_folder(self, name: str) -> bool:
        path = self._path(name, is_file=False)
        return path is not None and Path(path).is_dir()

    def _path(self, name: str, *, is_file: bool = True) -> str | None:
        if len(name) > 1024 or "\0" in name or "\\" in name:
            return None
        pieces = name.split("/")
        if any(piece == "" or piece.startswith(".") for piece in pieces):
            return None
        if is_file and Path(pieces[-1]).suffix not in _TYPES:
            return None
        return f"{self._folder}/{name}"

    def _read(self, name: str, path: Path) -> _Ready | None:
        try:
            # A link may lead out of the folder only if the folder itself is one.
            if not path.resolve().is_relative_to(self._folder.resolve()):
                return None
            with path.open("rb") as file:
                seen = os.fstat(file.fileno())
                if not stat.S_ISREG(seen.st_mode) or seen.st_size > FILE_BYTES:
                    return None
                plain = file.read(FILE_BYTES)
        except OSError:
            return None
        # Packed here and not read from beside it: two files are never of the same moment.
        packed = gzip.compress(plain, compresslevel=6, mtime=0)
        media_type, tag = _TYPES[path.suffix], hashlib.sha256(plain).hexdigest()[:24]
        best = packed if len(packed) < len(plain) else None
        ready = _Ready(
            str(path),
            (seen.st_ino, seen.st_mtime_ns, seen.st_size),
            plain,
            best,
            media_type,
            tag,
            {
                is_packed: Prerendered(_headers(tag, media_type, is_packed=is_packed), body)
                for is_packed, body in ((True, best), (False, plain))
                if body is not None and len(body) <= WRITE_BYTES
            },
        )
        self._ready[name] = ready
        self._size_bytes += ready.size_bytes
        while self._size_bytes > MEMORY_BYTES:
            _, oldest = self._ready.popitem(last=False)
            self._size_bytes -= oldest.size_bytes
        return ready

    def _forget(self, name: str) -> None:
        gone = self._ready.pop(name, None)
        if gone:
            self._size_bytes -= gone.size_bytes


def serve(folder: Path, application: web.Application) -> None:
    """Serve this folder for whatever no route of the application takes; the folder may come into being later."""
    files = _Files(folder)

    async def answer(request: web.Request) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers={**_GUARD, "Allow": "GET, HEAD"})
        name = _name(request.path)
        ready = files.get(name)
        if ready is None:
            return _absent(files, name)
        is_packed, has_some = _takes_packed(ready, request), "If-None-Match" in request.headers
        if not has_some and may_be_given(request):
            whole = ready.wholes.get(is_packed)
            if whole is not None:
                return whole
        headers = _headers(ready.tag, ready.media_type, is_packed=is_packed)
        if has_some and _has(request.headers["If-None-Match"], headers["ETag"]):
            return web.Response(status=304, headers={n: headers[n] for n in headers if n not in _OF_THE_BODY})
        return web.Response(body=ready.packed if is_packed else ready.plain, headers=headers)

    def again(request: web.BaseRequest) -> web.Response | None:
        # A file is kept under a name only after the router had found no route for it.
        ready = files.again(_name(request.raw_path)) if request.method == "GET" else None
        if ready is None or not may_be_given(request) or any(name in request.headers for name in _MORE):
            return None
        return ready.wholes.get(_takes_packed(ready, request))

    application.router.add_route("*", "/{name:.*}", answer)
    application[FIRST] = again


def _name(path: str) -> str:
    name = path.removeprefix("/")
    return f"{name}index.html" if name == "" or name.endswith("/") else name


def _takes_packed(ready: _Ready, request: web.BaseRequest) -> bool:
    return ready.packed is not None and _takes_gzip(request.headers.get("Accept-Encoding", ""))


def _headers(tag: str, media_type: str, *, is_packed: bool) -> dict[str, str]:
    headers = {
        **_GUARD,
        "Cache-Control": CACHE,
        "Vary": "Accept-Encoding",
        "ETag": f'"{tag}{"-gz" if is_packed else ""}"',
    }
    return headers | {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if is_packed else {})


def _absent(files: _Files, name: str) -> web.Response:
    if files.is_folder(name):
        # Relative, because "//elsewhere" as an absolute one would lead to another site.
        return web.Response(status=301, headers={**_GUARD, "Location": f"./{name.rsplit('/', 1)[-1]}/"})
    headers = {**_GUARD, "Cache-Control": "public, max-age=5", "Content-Type": "text/html; charset=utf-8"}
    return web.Response(status=404, body=_NOT_FOUND, headers=headers)


@lru_cache(maxsize=256)
def _takes_gzip(accepted: str) -> bool:
    for offer in accepted.lower().split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.replace(" ", "").rstrip("0.") not in {"q=", "q"}
    return False


def _has(tags: str, tag: str) -> bool:
    return any(t.strip().removeprefix("W/") in {tag, "*"} for t in tags.split(","))
