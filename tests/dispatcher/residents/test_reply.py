"""The doors where residents answer: what a tap does, what a scanner does, and what nobody can learn from them."""

import gzip
import random
import re

import aiohttp
import pytest
from multidict import CIMultiDict

from config.cities import load
from config.words import LANGUAGES
from dispatcher import residents
from dispatcher.clock import ManualClock, SystemClock
from dispatcher.listening import listening
from dispatcher.model.campaign import Answer
from dispatcher.model.mode import Drill
from dispatcher.residents import guesses, reply, report
from dispatcher.residents.page import Pages
from tests.dispatcher.residents.loop import EXPIRED, FOREIGN, GOOD, NAME, RELATIVE, WATCH, Loop

BIDI = "\u202e\u2066"
SCRIPT = '"><script>alert(1)</script>'
BUDGET_BYTES = 14 * 1024


@pytest.fixture
def clock():
    return ManualClock(SystemClock().now())


@pytest.fixture
def loop(clock):
    return Loop(clock)


@pytest.fixture(scope="module")
def pages():
    return Pages(load("mitaka"), Drill)


@pytest.fixture
async def site(loop, pages, clock):
    routes = [*reply.routes(loop, pages, clock), *report.routes(loop, pages, clock)]
    async with (
        listening(residents.application(routes, None), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):
        yield session


async def text(site, method, path, **more):
    async with site.request(method, path, **more) as answer:
        return answer.status, await answer.text()


async def test_one_tap_is_an_answer(site, loop):
    for answer in Answer:
        status, page = await text(site, "POST", f"/a/{GOOD}", data={"a": str(answer)})
        assert (status, "届きました" in page) == (200, True)
        assert loop.heard[-1][1:] == (answer, {}, "website")
    assert "119" in page


async def test_what_it_is_about_stands_in_the_language_of_the_page(site):
    for path in (f"/a/{GOOD}", "/report"):
        _, page = await text(site, "GET", f"{path}?lang=en")
        assert "Evacuation order, Nogawa (2:41)" in page


async def test_an_answer_may_be_changed_and_made_more_precise_with_three_more_questions(site, loop):
    await text(site, "POST", f"/a/{GOOD}", data={"a": "hurt"})
    more = {"a": "ok", "more": "1", "who": "family", "where": "第一小学校", "note": "水が\r\nほしい"}
    status, page = await text(site, "POST", f"/a/{GOOD}", data=more)
    assert (status, "くわしいことも届きました" in page) == (200, True)
    assert [heard[1] for heard in loop.heard] == [Answer.HURT, Answer.OK]
    assert loop.heard[-1][2] == {"who": "family", "where": "第一小学校", "note": "水が\nほしい"}


async def test_the_thank_you_page_asks_at_most_three_more_things(site):
    _, page = await text(site, "POST", f"/a/{GOOD}", data={"a": "ok"})
    asked = set(re.findall(r'name="(\w+)"', page)) - {"a", "more", "viewport", "robots"}
    assert asked - {"format"} == {"who", "where", "note"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_opening_a_link_changes_nothing(site, loop, method):
    status, _ = await text(site, method, f"/a/{GOOD}?a=help")
    assert (status, loop.heard) == (200, [])


@pytest.mark.parametrize("data", [None, "", "a=", "a=no", "b=help", "a[]=help", b"\xff\xfe", "x" * 16_000], ids=repr)
async def test_a_post_without_a_button_changes_nothing(site, loop, data):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, page = await text(site, "POST", f"/a/{GOOD}", data=data, headers=headers)
    assert (status, loop.heard) == (200, [])
    assert "いま どうですか" in page


async def test_a_button_in_another_kind_of_body_changes_nothing(site, loop):
    for body in ({"json": {"a": "help"}}, {"data": aiohttp.FormData({"a": "help"}, default_to_multipart=True)}):
        await text(site, "POST", f"/a/{GOOD}", **body)
    assert loop.heard == []


async def answered(site, method, token, **more):
    """Everything of an answer that a stranger could look at, but the time of day."""
    async with site.request(method, f"/a/{token}", **more) as answer:
        return (
            answer.status,
            CIMultiDict(answer.headers).popall("Date") and dict(answer.headers) | {"Date": ""},
            await answer.read(),
        )


@pytest.mark.parametrize("form", [None, {"a": "help"}, {"a": "ok", "note": "x" * 5000}], ids=["GET", "tap", "too long"])
async def test_every_wrong_link_gets_the_same_bytes_after_the_same_work(site, loop, form):
    wrong = [EXPIRED, FOREIGN, "a" * 26, GOOD[:-1] + ("a" if GOOD[-1] != "a" else "b"), GOOD[:9], "あ", "x" * 900]
    seen, looks = [], []
    for token in wrong:
        before = loop.looks
        seen.append(await answered(site, "POST" if form else "GET", token, data=form))
        looks.append(loop.looks - before)
    assert all(one == seen[0] for one in seen)
    assert seen[0][0] == 404
    assert set(looks) == {1}
    assert loop.heard == []


async def test_a_link_typed_in_large_letters_is_the_same_link(site, loop):
    await text(site, "POST", f"/a/{GOOD.upper()}", data={"a": "ok"})
    assert len(loop.heard) == 1


async def test_who_guesses_is_told_to_wait_and_who_has_a_link_behind_the_same_address_is_not(site, loop, clock):
    statuses = [(await text(site, "GET", f"/a/{n:026d}"))[0] for n in range(guesses.FREE + 5)]
    assert statuses == [404] * guesses.FREE + [429] * 5
    assert (await text(site, "GET", f"/a/{GOOD}"))[0] == 200
    assert (await text(site, "POST", f"/a/{GOOD}", data={"a": "help"}))[0] == 200
    assert len(loop.heard) == 1
    clock.advance(3.0)
    assert (await text(site, "GET", f"/a/{'a' * 26}"))[0] == 404


def test_addresses_are_counted_as_one_household_has_them():
    assert guesses.block("192.0.2.1") != guesses.block("192.0.2.2")
    assert guesses.block("2001:db8::1") == guesses.block("2001:db8::ffff") != guesses.block("2001:db8:0:1::1")


async def test_words_are_inert_wherever_they_go(site, loop):
    note = f"{SCRIPT}{BIDI}\x00\x1b[31m\u2028あ\u3099"
    status, page = await text(
        site, "POST", f"/a/{GOOD}", data={"a": "ok", "more": "1", "note": note, "where": "  a\nb "}
    )
    kept = loop.heard[-1][2]
    assert (status, kept["where"]) == (200, "a b")
    assert kept["note"] == f"{SCRIPT}[31m あ゙"
    assert "<script" not in page


async def test_words_that_are_too_long_come_back_with_the_rest_and_nothing_is_taken(site, loop):
    typed = {"a": "hurt", "more": "1", "who": "family", "where": f"二階{SCRIPT}", "note": "あ" * 301}
    status, page = await text(site, "POST", f"/a/{GOOD}", data=typed)
    assert (status, loop.heard) == (422, [])
    assert "300文字まで" in page
    assert "二階&#34;&gt;&lt;script&gt;" in page
    assert "あ" * 301 in page
    assert 'value="family" checked' in page


async def test_ten_megabytes_are_refused_unread(site, loop):
    async with site.post(
        f"/a/{GOOD}", data=_endless(), headers={"Content-Type": "application/x-www-form-urlencoded"}
    ) as answer:
        assert answer.status == 413
    assert loop.heard == []


async def _endless():
    for _ in range(160):
        yield b"note=" + b"x" * 65_536


async def test_no_room_means_no_thanks(site, loop):
    loop.is_full = True
    status, page = await text(site, "POST", f"/a/{GOOD}", data={"a": "help"})
    assert status == 503
    assert "まだ届いていません" in page
    assert "119" in page


async def test_no_page_gives_its_own_address_away(site):
    for method, data in (("GET", None), ("POST", {"a": "ok"})):
        async with site.request(method, f"/a/{GOOD}", data=data) as answer:
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert GOOD not in await answer.text()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_is_in_every_language_light_and_marked_as_a_drill(site, language):
    for method, path, data in (
        ("GET", f"/a/{GOOD}", None),
        ("GET", f"/a/{WATCH}", None),
        ("GET", f"/a/{RELATIVE}", None),
        ("POST", f"/a/{GOOD}", {"a": "help"}),
        ("GET", "/a/none", None),
        ("GET", "/report", None),
        ("POST", "/report", {"a": "ok", "name": NAME}),
    ):
        async with site.request(method, f"{path}?lang={language}", data=data) as answer:
            page = await answer.read()
        assert f'<html lang="{language}">'.encode() in page
        assert Drill.banner(language).strip().encode() in page.partition(b"</title>")[0]
        assert len(gzip.compress(page)) <= BUDGET_BYTES
        assert b"<script" not in page
        assert (b"<rt>" in page) == (language == "ja-x-easy")


async def test_a_page_speaks_the_language_of_whose_it_is_unless_they_choose(site):
    english = {"Accept-Language": "en-GB,en;q=0.9"}
    assert 'lang="ja-x-easy"' in (await text(site, "GET", f"/a/{WATCH}", headers=english))[1].split("<meta")[0]
    assert 'lang="ko"' in (await text(site, "GET", f"/a/{WATCH}?lang=ko", headers=english))[1].split("<meta")[0]
    assert 'lang="en"' in (await text(site, "GET", "/report", headers=english))[1].split("<meta")[0]


async def test_the_order_of_the_answers_and_119_never_change(site):
    for token in (GOOD, RELATIVE, WATCH):
        _, page = await text(site, "GET", f"/a/{token}")
        assert re.findall(r'name="a" value="(\w+)"', page) == ["ok", "hurt", "help"]
        assert 'class="btn help" name="a" value="help"' in page
        assert page.index('value="help"') < page.index("tel:119")


async def test_a_relative_says_of_whom_and_whether_they_saw_them(site, loop):
    _, page = await text(site, "GET", f"/a/{RELATIVE}")
    assert NAME in page
    await text(site, "POST", f"/a/{RELATIVE}", data={"a": "ok", "saw": "yes"})
    assert loop.heard[-1][2] == {"saw": "yes"}
    await text(site, "POST", f"/a/{RELATIVE}", data={"a": "ok", "saw": "perhaps", "who": "everybody"})
    assert loop.heard[-1][2] == {}


TYPED = {
    "name": "住民 0009",
    "birth": "昭和25年4月1日",
    "phone": "０４２２−００−００００",
    "quarter": "132040301",
    "form": "f" * 22,
}


async def test_somebody_who_was_not_asked_says_by_name_how_they_are(site, loop):
    status, page = await text(site, "POST", "/report", data=TYPED | {"a": "hurt", "where": "自宅"})
    assert (status, "市に届きました" in page) == (200, True)
    (said,) = loop.reports.values()
    assert (said.name, said.birth_date, said.phone, said.quarter) == (
        "住民 0009",
        "1950-04-01",
        "0422000000",
        "132040301",
    )
    assert (said.answer, said.saw, said.details) == (Answer.HURT, True, {"about": "self", "where": "自宅"})


async def test_of_others_it_matters_whether_they_were_seen(site, loop):
    for saw in ("yes", "no"):
        await text(site, "POST", "/report?about=other", data=TYPED | {"a": "help", "saw": saw})
    assert [(said.saw, said.details["about"]) for said in loop.reports.values()] == [(True, "other"), (False, "other")]


async def test_a_form_sent_twice_is_one_report_and_a_new_form_another(site, loop):
    for _ in range(2):
        await text(site, "POST", "/report", data=TYPED | {"a": "ok"})
    assert len(loop.reports) == 1
    forms = {
        re.search(r'name="form" value="([\w-]{20,})"', (await text(site, "GET", "/report"))[1])[1] for _ in range(2)
    }
    assert len(forms) == 2
    await text(site, "POST", "/report", data=TYPED | {"a": "ok", "form": forms.pop()})
    assert len(loop.reports) == 2


async def test_what_is_wrong_is_said_all_at_once_and_what_was_typed_stays(site, loop):
    typed = {
        "a": "ok",
        "name": " \u202e ",
        "birth": "1950-13-45",
        "phone": "電話なし",
        "quarter": "999",
        "note": SCRIPT,
    }
    status, page = await text(site, "POST", "/report", data=typed)
    assert (status, loop.reports) == (422, {})
    for word in ("名前を書いて", "1950年4月1日のように", "数字で", "1950-13-45", "電話なし", "&lt;script&gt;"):
        assert word in page
    status, page = await text(site, "POST", "/report", data=TYPED)
    assert status == 422
    assert "1つ押して" in page


async def test_while_nobody_is_asked_the_page_says_whom_to_call(site, loop):
    loop.is_open = False
    for method, data in (("GET", None), ("POST", TYPED | {"a": "help"})):
        status, page = await text(site, method, "/report", data=data)
        assert status == 200
        assert "いま、安否の確認はしていません" in page
        assert "tel:119" in page
        assert load("mitaka").contact in page


async def test_one_address_cannot_fill_the_desk_with_reports_and_what_was_typed_stays(site, loop):
    said = [dict(TYPED, a="ok", form=f"{random.Random(n).getrandbits(128):x}") for n in range(report.FREE + 1)]
    statuses = [(await text(site, "POST", "/report", data=one))[0] for one in said[: report.FREE]]
    assert set(statuses) == {200}
    status, page = await text(site, "POST", "/report", data=said[-1])
    assert (status, len(loop.reports)) == (429, report.FREE)
    assert TYPED["name"] in page


async def test_nobodys_words_stand_in_a_repr_or_a_log(site, loop, capsys):
    await text(site, "POST", "/report", data=TYPED | {"a": "ok", "note": "ひみつ"})
    await text(site, "POST", f"/a/{GOOD}", data={"a": "help", "note": "ひみつ"})
    page = await loop.look(RELATIVE)
    written = "".join([*capsys.readouterr(), repr(page), *map(repr, loop.reports.values())])
    for secret in ("ひみつ", TYPED["name"], "1950-04-01", "0422000000", GOOD, NAME):
        assert secret not in written
