"""The residents' listener: rooms first, the site's files behind them, and no answer that lets a token out."""

import asyncio
import io

import aiohttp
import pytest
from aiohttp import web

from dispatcher import residents
from dispatcher.errors import StorageFull, Throttled
from dispatcher.listening import listening
from dispatcher.residents import form

TYPED = "助けてくださいと書いた"


async def echo(request: web.Request) -> web.Response:
    return web.json_response(dict(await form.read(request)))


async def full(request: web.Request) -> web.Response:
    raise StorageFull(request.path)


async def broken(request: web.Request) -> web.Response:
    raise RuntimeError(f"{request.path}: {await request.text()}")


async def busy(request: web.Request) -> web.Response:
    raise Throttled(7.0)


@pytest.fixture
async def site(tmp_path):
    (tmp_path / "index.html").write_text("<p>いまの情報", encoding="utf-8")
    (tmp_path / "echo.html").write_text("<p>a page", encoding="utf-8")
    routes = [web.post("/echo", echo), web.post("/full", full), web.post("/broken", broken), web.get("/busy", busy)]
    async with (
        listening(residents.application(routes, tmp_path), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):
        yield session


async def test_rooms_come_first_and_the_files_behind_them(site):
    async with site.post("/echo", data={"a": "無事"}) as answer:
        assert await answer.json() == {"a": "無事"}
    for path in ("/", "/echo.html"):
        async with site.get(path) as answer:
            assert (answer.status, answer.headers["Cache-Control"].split(",")[0]) == (200, "public")


async def test_a_file_never_stands_before_a_room_however_often_it_was_asked_for(tmp_path):
    (tmp_path / "busy.html").write_text("a page", encoding="utf-8")
    doors = residents.application([web.get("/busy.html", busy), web.post("/later.html", echo)], tmp_path)
    (tmp_path / "later.html").write_text("a page", encoding="utf-8")
    async with (
        listening(doors, "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):
        for _ in range(3):
            async with session.get("/busy.html") as answer:
                assert answer.status == 429
            async with session.get("/later.html") as answer:
                assert (answer.status, await answer.text()) == (200, "a page")
            async with session.post("/later.html", data={"a": "1"}) as answer:
                assert await answer.json() == {"a": "1"}


async def test_every_answer_of_a_room_keeps_its_address_to_itself(site):
    for path in ("/echo", "/full", "/broken"):
        async with site.post(path) as answer:
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "script" not in answer.headers["Content-Security-Policy"]


async def test_a_form_longer_than_any_of_ours_is_refused_unread(site):
    for size_bytes, status in ((residents.BODY_BYTES - 2, 200), (10_000_000, 413)):
        async with site.post("/echo", data=io.BytesIO(b"a=" + b"x" * size_bytes), headers=FORM) as answer:
            assert answer.status == status
            words = await answer.text()
    assert "119" in words


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "body", [b"\xff\xfe=1", b"a=%ff", b"&".join(b"a%d=1" % i for i in range(40)), "a=無事".encode()], ids=str
)
async def test_a_body_that_is_no_form_of_ours_is_an_empty_one(site, body):
    async with site.post("/echo", data=body, headers=FORM) as answer:
        assert await answer.json() == {}


async def test_a_form_that_drips_in_is_let_go_and_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr(residents, "BODY_S", 0.2)
    async with listening(residents.application([web.post("/echo", echo)], tmp_path), "127.0.0.1", 0) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na=")
        async with asyncio.timeout(5):
            said = await reader.read()
        writer.close()
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"119" in said


async def test_files_and_json_are_no_form_of_ours(site):
    for body in ({"json": {"answer": "ok"}}, {"data": aiohttp.FormData({"answer": "ok"}, default_to_multipart=True)}):
        async with site.post("/echo", **body) as answer:
            assert await answer.json() == {}


async def test_of_a_field_that_is_there_twice_the_first_counts(site):
    async with site.post("/echo", data=b"a=1&a=2", headers=FORM) as answer:
        assert await answer.json() == {"a": "1"}


async def test_what_fails_is_said_in_words_with_119_and_kept_out_of_the_log(site, capsys):
    for path in ("/full", "/broken"):
        async with site.post(path, data=TYPED.encode()) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
            page = await answer.text()
        assert "119" in page
        assert TYPED not in page
    said = capsys.readouterr()
    assert "RuntimeError" in said.out + said.err
    assert TYPED not in said.out + said.err
    assert "/broken" not in said.out + said.err


async def test_who_comes_too_often_is_told_when_to_come_again(site):
    async with site.get("/busy") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
