"""The residents' site (P7): a page from the node itself and behind nginx, ÷ nginx's own static files; and live readers, ÷ a bare protocol.

All servers give the same bytes of a folder made by the site's own publisher, and are asked in turn by the same client, one request at
a time on each connection. Counted are pages a second of the server's own processor: whoever else works on the machine changes nothing.
nginx is Debian's: once with the packed page as a plain file, as it comes, once with the site's folder as the README says.

Source: design.md §11 P7; facts.md §Website.
"""

import json
import os
import resource
import select
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from channels.website import Website
from config.cities import load
from dispatcher.channel import Surroundings
from dispatcher.clock import SystemClock
from dispatcher.model.mode import Drill
from drills.world.ports import free_port
from tests.bench.row import Row, absolute_at_most, at_least, at_most
from tests.samples import evacuation_order

NAMES = ("web.page", "web.behind_nginx", "sse.last", "sse.ratio", "sse.memory")
CONNECTIONS, MEASURE_S, ROUNDS = 32, 2.0, 3
READERS, HINTS = 19_000, 5
REQUEST = b"GET /index.html HTTP/1.1\r\nHost: here\r\nAccept-Encoding: gzip\r\n\r\n"
LISTEN = b"GET /live HTTP/1.1\r\nHost: here\r\nAccept: text/event-stream\r\n\r\n"

NGINX = """
daemon off; master_process off; pid {0}/nginx.pid; error_log stderr crit; worker_rlimit_nofile 4096;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 1000000; types {{ text/html html; }}
  client_body_temp_path {0}/body; proxy_temp_path {0}/proxy; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;
  server {{ listen 127.0.0.1:{1}; root {0}/plain; add_header Content-Encoding gzip; }}
  server {{ listen 127.0.0.1:{2}; root {3}; gzip_static on; open_file_cache max=1000; open_file_cache_valid 1s;
    add_header Access-Control-Allow-Origin *; location ~ ^/(live|a/|k/|m/|s/|mail|report|push/) {{ proxy_pass http://127.0.0.1:{4}; }} }}
}}
"""


def rows(wanted: set[str]) -> Iterator[Row]:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as scratch:
        folder = Path(scratch) / "site"
        _site(folder)
        if any(name.startswith("web.") for name in wanted):
            yield from _pages(folder, Path(scratch) / "nginx")
        if any(name.startswith("sse.") for name in wanted):
            yield from _readers(folder)


def _site(folder: Path) -> None:
    clock = SystemClock()
    around = Surroundings(clock, load("mitaka"), folder, "http://127.0.0.1")
    site: Website[Drill] = Website(Drill, Website.Settings(folder=folder, url="http://127.0.0.1"), around)
    site._publisher.publish(site.render(evacuation_order(Drill, sent=clock.now()), None))
    site._publisher.rebuild()


@contextmanager
def _server(kind: str, folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The port of one, and its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench._web_server", kind, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"], psutil.Process(process.pid)
    finally:
        process.communicate("\n")


# -- pages -----------------------------------------------------------------------------------------------------------


def _pages(folder: Path, prefix: Path) -> Iterator[Row]:
    # The same bytes as plain files, and nothing to choose from: the least that nginx can do.
    (prefix / "plain").mkdir(parents=True)
    shutil.copy(folder / "index.html.gz", prefix / "plain" / "index.html")
    static, behind = free_port(), free_port()
    with _server("ours", folder) as (port, node):
        (prefix / "nginx.conf").write_text(NGINX.format(prefix, static, behind, folder, port))
        nginx = subprocess.Popen(["nginx", "-p", prefix, "-c", prefix / "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            there = psutil.Process(nginx.pid)
            servers = {port: node, static: there, behind: there}
            best = dict.fromkeys(servers, 0.0)
            for _ in range(ROUNDS):
                for each, process in servers.items():
                    best[each] = max(best[each], _pages_a_second(each, process))
        finally:
            nginx.terminate()
            nginx.wait()
    yield at_least("web.page", best[port], best[static], "pages/CPU s", 0.35)
    yield at_least("web.behind_nginx", best[behind], best[static], "pages/CPU s", 1.0)


def _pages_a_second(port: int, server: psutil.Process) -> float:
    """Pages a second of the server's processor; every answer has the same length, so bytes are answers."""
    one = _connected(port)
    one.sendall(REQUEST)
    first = b""
    while b"\r\n\r\n" not in first:
        first += one.recv(65_536)
    head, _, body = first.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = int(
        next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1]
    )
    while len(body) < length:
        body += one.recv(65_536)
    one.close()
    answer_bytes = len(head) + 4 + length
    with selectors.DefaultSelector() as selector:
        left: dict[socket.socket, int] = {}
        for _ in range(CONNECTIONS):
            each = _connected(port)
            selector.register(each, selectors.EVENT_READ)
            each.sendall(REQUEST)
            left[each] = answer_bytes
        pages, began, used_s = 0, time.perf_counter(), sum(server.cpu_times()[:2])
        while time.perf_counter() - began < MEASURE_S:
            for key, _ in selector.select(1.0):
                each = key.fileobj  # type: ignore[assignment]
                left[each] -= len(each.recv(1_000_000))
                if left[each] <= 0:
                    pages += 1
                    each.sendall(REQUEST)
                    left[each] += answer_bytes
        used_s = sum(server.cpu_times()[:2]) - used_s
        for each in left:
            each.close()
    return float(pages / used_s)


def _connected(port: int, host: str = "127.0.0.1") -> socket.socket:
    deadline_s = time.monotonic() + 10
    while True:
        made = socket.socket()
        try:
            made.bind((host, 0))
            made.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            made.close()
            if time.monotonic() > deadline_s:
                raise
        else:
            return made


# -- live readers ----------------------------------------------------------------------------------------------------


def _readers(folder: Path) -> Iterator[Row]:
    last_s, each_bytes = {}, {}
    for kind in ("bare", "ours"):
        with _server(kind, folder) as (port, process):
            last_s[kind], each_bytes[kind] = _last_reader(folder, port, process)
    yield absolute_at_most("sse.last", last_s["ours"] * 1000, 300.0, "ms to 19,000")
    yield at_most("sse.ratio", last_s["ours"] * 1000, last_s["bare"] * 1000, "ms to 19,000", 1.5)
    yield absolute_at_most("sse.memory", each_bytes["ours"] / 1024, 12.0, "KiB a reader")


def _last_reader(folder: Path, port: int, process: psutil.Process) -> tuple[float, float]:
    """Seconds from a change of the folder until the last reader has its hint (best of some), and bytes a reader costs."""
    before = process.memory_info().rss
    readers: dict[int, socket.socket] = {}
    with select.epoll() as poll:
        for number in range(READERS):
            each = _connected(port, f"127.0.1.{number % 4 + 1}")
            each.sendall(LISTEN)
            readers[each.fileno()] = each
            poll.register(each, select.EPOLLIN | select.EPOLLET)
        _heard(poll, readers)
        cost = (process.memory_info().rss - before) / READERS
        waits_s = []
        for number in range(HINTS):
            mark = folder / "live.json"
            new = mark.with_name(".live.json.new")
            new.write_text(json.dumps({"version": f"bench{number}{os.getpid()}{port}"}))
            began = time.perf_counter()
            new.replace(mark)
            waits_s.append(_heard(poll, readers) - began)
        for each in readers.values():
            each.close()
    return min(waits_s), cost


def _heard(poll: select.epoll, readers: Mapping[int, socket.socket]) -> float:
    """When the last reader had an event on its connection; read are they afterwards, because 19,000 phones read by themselves."""
    missing = set(readers)
    while True:
        came: set[int] = set()
        while len(came) < len(missing):
            some = poll.poll(60)
            assert some, f"{len(missing) - len(came)} heard nothing"
            came.update(fd for fd, _ in some if fd in missing)
        when_s = time.perf_counter()
        # What came may have been a sign of life, or the head alone.
        missing = {fd for fd in missing if b"data: " not in readers[fd].recv(65_536)}
        if not missing:
            return when_s
