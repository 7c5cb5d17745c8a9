"""The residents' listener, asked over real sockets by a good client and by bad ones."""

import asyncio
import gzip
import os
import socket
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.residents import application, prerendered

PAGE = ("<!doctype html><title>大沢</title>" + "お知らせ" * 200).encode()


@pytest.fixture
async def site(tmp_path: Path):
    folder = tmp_path / "site"
    (folder / "alerts" / "a").mkdir(parents=True)
    (folder / ".messages").mkdir()
    for name in ("index.html", "alerts/a/index.html", ".messages/entry.json", ".hidden.html"):
        (folder / name).write_bytes(PAGE)
    (folder / "cap.xml").write_bytes(b"<alert/>")
    (folder / "secret.txt").write_bytes(b"secret")
    (tmp_path / "outside.html").write_bytes(b"outside")
    (folder / "link.html").symlink_to(tmp_path / "outside.html")
    async with listening(application([], folder), "127.0.0.1", 0) as (host, port):
        yield folder, host, port


async def raw(site, data: bytes) -> bytes:
    """What comes back for these bytes, until the server closes or has answered."""
    _, host, port = site
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    try:
        async with asyncio.timeout(5):
            return await reader.read(100_000)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def request(target: str, method: str = "GET", *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_a_page_comes_with_its_type_its_tag_and_the_headers_that_caches_need(site):
    _, host, port = site
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
        async with session.get("/") as response:
            assert response.status == 200
            assert await response.read() == PAGE
            assert response.content_type == "text/html"
            assert response.charset == "utf-8"
            assert "max-age=5, stale-while-revalidate" in response.headers["Cache-Control"]
            assert "stale-if-error" in response.headers["Cache-Control"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["Vary"] == "Accept-Encoding"
            tag = response.headers["ETag"]
        async with session.get("/", headers={"If-None-Match": f'"x", W/{tag}'}) as response:
            assert response.status == 304
            assert await response.read() == b""
        async with session.head("/alerts/a/index.html") as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) > 0
            assert await response.read() == b""
        async with session.get("/cap.xml") as response:
            assert response.content_type == "application/cap+xml"
        async with session.get("/alerts/a") as response:
            assert response.url.path == "/alerts/a/"
            assert await response.read() == PAGE


async def test_a_page_that_was_asked_for_before_is_answered_as_it_was_the_first_time(site):
    folder, host, port = site
    async with aiohttp.ClientSession(f"http://{host}:{port}") as session:

        async def get(path: str = "/", **headers: str) -> tuple[int, bytes, str]:
            async with session.get(
                path, headers={name.replace("_", "-"): v for name, v in headers.items()}
            ) as response:
                return response.status, await response.read(), response.headers.get("ETag", "")

        first = await get()
        assert first == await get() == await get("/index.html") == await get("/?seen=1")
        assert (await get(if_none_match=first[2]))[:2] == (304, b"")
        assert await get(accept_encoding="identity") == (200, PAGE, first[2].replace("-gz", ""))
        async with session.head("/") as response:
            assert (response.status, await response.read()) == (200, b"")
        async with session.post("/", data=b"x") as response:
            assert response.status == 405
        (folder / "index.html").rename(folder / "later.html")
        assert (await get())[0] == 404
        (folder / "later.html").write_bytes(b"new" * 100)
        (folder / "later.html").rename(folder / "index.html")
        assert (await get())[1] == b"new" * 100


@pytest.mark.parametrize(
    ("accepts", "is_packed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
    ],
)
async def test_it_is_packed_for_those_who_take_it(site, accepts, is_packed):
    head, body = (await raw(site, request("/", "GET", f"Accept-Encoding: {accepts}"))).split(b"\r\n\r\n", 1)
    assert (b"Content-Encoding: gzip" in head) == is_packed
    assert (b'-gz"' in head) == is_packed
    assert (gzip.decompress(body) if is_packed else body) == PAGE


async def test_a_page_that_was_replaced_is_seen_at_once(site):
    folder, *_ = site
    for number in range(20):
        new = f"<p>{number}".encode()
        (folder / ".new").write_bytes(new)
        (folder / ".new").replace(folder / "index.html")
        assert (await raw(site, request("/"))).endswith(b"\r\n\r\n" + new)
    (folder / "index.html").unlink()
    assert b" 404 " in await raw(site, request("/"))


@pytest.mark.parametrize(
    "target",
    [
        "/none.html",
        "/../outside.html",
        "/%2e%2e/outside.html",
        "/..%2foutside.html",
        "/alerts/../../outside.html",
        "/alerts//a/index.html",
        "//outside.html",
        "/.messages/entry.json",
        "/.hidden.html",
        "/%2ehidden.html",
        "/secret.txt",
        "/link.html",
        "/index.html%00",
        "/index.html/",
        "/a\\..\\outside.html",
        "/" + "a/" * 1000,
    ],
)
async def test_nothing_but_the_site_is_served(site, target):
    answer = await raw(site, request(target))
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"outside" not in answer
    assert b"secret" not in answer


async def test_the_404_page_is_in_two_languages(site):
    answer = (await raw(site, request("/none.html"))).decode()
    assert "ページがありません" in answer
    assert '<p lang="en">There is no such page.' in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
async def test_only_reading_is_allowed(site, method):
    answer = await raw(site, request("/", method))
    assert answer.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert PAGE not in answer


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff" * 5000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=range(10),
)
async def test_hostile_bytes_are_refused_and_the_next_reader_is_served(site, data):
    answer = await raw(site, data)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert PAGE not in answer
    assert (await raw(site, request("/"))).startswith(b"HTTP/1.1 200 ")


async def test_who_asks_on_and_on_and_reads_nothing_is_let_go_with_little_written_for_them(site, monkeypatch):
    monkeypatch.setattr(prerendered, "UNREAD_S", 0.5)
    folder, host, port = site
    (folder / "large.html").write_bytes(os.urandom(30_000).hex().encode())
    asked, size_bytes = 1_000, 0
    before = _open_files()
    with socket.create_connection((host, port)) as client:
        client.setblocking(False)
        client.send(b"GET /large.html HTTP/1.1\r\nHost: x\r\n\r\n" * asked)
        async with asyncio.timeout(10):
            while _open_files() < before + 2:
                await SystemClock().sleep(0)
            # Nothing is read until the server has closed its end.
            while _open_files() > before + 1:
                await SystemClock().sleep(0.02)
        client.settimeout(5.0)
        with suppress(ConnectionResetError):
            while more := client.recv(1_000_000):
                size_bytes += len(more)
    assert size_bytes < asked * 60_000 / 2
    assert (await raw(site, request("/"))).startswith(b"HTTP/1.1 200 ")


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_hundred_idle_connections_do_not_keep_others_waiting(site):
    _, host, port = site
    idle = [await asyncio.open_connection(host, port) for _ in range(100)]
    for _, writer in idle:
        writer.write(b"GET / HTT")
    assert (await raw(site, request("/"))).startswith(b"HTTP/1.1 200 ")
    for _, writer in idle:
        writer.close()
