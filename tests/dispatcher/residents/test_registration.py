"""Registered mail from the residents' side: a link that comes by mail, a page that changes nothing until a button is pressed."""

import asyncio
import email
import email.policy
import re
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest

from channels.email_list import EmailList
from channels.email_list.subscribers import LANGUAGES as READ
from config.cities import load
from config.words import LANGUAGES
from dispatcher import residents
from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.model.mode import Drill, Live
from dispatcher.model.topic import CHOICES, Topic
from dispatcher.residents import registration
from drills.world.email_list import World
from tests.channels.test_email_list import settings_for
from tests.contracts.channel_contract import Memory, surroundings
from tests.samples import OSAWA

CITY = load("mitaka")
HOME = "132040301"
FORM = {"lang": "ja", "address": "new@example.jp", "do": "new", f"q-{HOME}": "on", "t-weather": "on", "language": "ja"}


async def until(holds) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await SystemClock().sleep(0.01)


class Tomorrow(SystemClock):
    """The clock of a day later, for links that have grown old."""

    def now(self):
        return super().now() + timedelta(hours=24, seconds=1)


class City:
    """The residents' listener, the channel behind it, and the relay that takes the mail."""

    def __init__(self, channel: EmailList, world: World, session: aiohttp.ClientSession, done: Counter[str]) -> None:
        self.channel, self.world, self.session, self.done = channel, world, session, done

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(path) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, **form: str) -> tuple[int, str]:
        async with self.session.post(path, data=form, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    def mails_to(self, address: str):
        return [
            email.message_from_bytes(m.data, policy=email.policy.default)
            for m in self.world.mails
            if m.recipients == (address,)
        ]

    async def link_to(self, address: str, number: int = 1) -> str:
        """The path of the link in the mail that comes."""
        await until(lambda: len(self.mails_to(address)) >= number)
        return re.search(r"http://127.0.0.1:8080(/m/\S+)", self.mails_to(address)[number - 1].get_content())[1]

    async def members(self, topic: Topic = Topic.EMERGENCY) -> set[str]:
        audience = await self.channel.audience_for(OSAWA, topic)
        found = {d.address async for d in self.channel.destinations(audience)}
        assert audience.head_count == len(found)
        return found


@asynccontextmanager
async def a_city(tmp_path, mode=Drill, clock=None):
    async with World(tmp_path / "world", CITY, 1) as world:
        around = surroundings(tmp_path / "state")
        channel = EmailList(mode, settings_for(world), replace(around, clock=clock or around.clock))
        done = Counter()
        routes = registration.routes([channel], CITY, mode, around.clock, done)
        async with (
            channel.open(Memory()),
            listening(residents.application(routes, None), "127.0.0.1", 0) as (host, port),
            aiohttp.ClientSession(f"http://{host}:{port}") as session,
        ):
            yield City(channel, world, session, done)


@pytest.fixture
async def city(tmp_path):
    async with a_city(tmp_path) as city:
        yield city


async def test_nobody_is_registered_before_they_opened_the_link_and_pressed_the_button(city):
    before = await city.members()
    status, said = await city.post("/mail", **FORM)
    assert status == 200
    assert "まだ登録は終わっていません" in said
    link = await city.link_to("new@example.jp")
    assert await city.members() == before
    for _ in range(2):  # a mail scanner opens it as often as it likes
        status, page = await city.get(link)
        assert status == 200
        assert "new@example.jp" in page
        assert re.search(rf'name="q-{HOME}" checked', page)
        assert re.search(r'name="t-weather" checked', page)
        assert not re.search(r'name="t-life" checked', page)
        assert 'value="leave"' not in page
    assert await city.members() == before
    status, said = await city.post(
        link, lang="ja", do="save", **{f"q-{HOME}": "on", "t-weather": "on", "language": "ja"}
    )
    assert status == 200
    assert "登録しました" in said
    assert await city.members() == before | {"new@example.jp"}


async def test_who_left_a_topic_out_is_not_counted_for_it_and_hears_of_every_order(city):
    await city.post("/mail", **FORM)
    link = await city.link_to("new@example.jp")
    await city.post(link, lang="ja", do="save", **{f"q-{HOME}": "on", "t-weather": "on", "language": "ja"})
    assert "new@example.jp" in await city.members(Topic.EMERGENCY)
    assert "new@example.jp" in await city.members(Topic.WEATHER)
    assert "new@example.jp" not in await city.members(Topic.LIFE)


async def test_change_and_leave_go_by_the_same_kind_of_link(city):
    known = min(await city.members())
    status, said = await city.post("/mail", lang="en", do="change", address=known)
    assert status == 200
    link = await city.link_to(known)
    status, page = await city.get(link)
    assert 'value="leave"' in page
    assert re.search(r'name="q-1320403\d\d" checked', page)
    status, _ = await city.post(link, lang="en", do="save", **{"q-132040101": "on", "language": "en"})
    assert status == 200
    assert known not in await city.members()
    assert (await city.channel.register.opened(link.removeprefix("/m/"))).choice == registration.Choice(
        ("132040101",), (), "en"
    )
    status, said = await city.post(link, lang="en", do="leave")
    assert status == 200
    assert "Stopped" in said
    assert city.done == {"asked": 1, "saved": 1, "left": 1}
    assert not (await city.channel.register.opened(link.removeprefix("/m/"))).is_registered


async def test_known_and_unknown_addresses_get_the_same_answer_and_the_same_mail(city):
    known = min(await city.members())
    answers = [await city.post("/mail", **{**FORM, "address": address}) for address in (known, "nobody@example.jp")]
    assert answers[0] == answers[1]
    await city.link_to(known)
    await city.link_to("nobody@example.jp")
    texts = {
        re.sub(r"/m/\S+", "/m/…", city.mails_to(address)[0].get_content()) for address in (known, "nobody@example.jp")
    }
    assert len(texts) == 1


async def test_the_mail_says_that_a_machine_wrote_it_and_bears_the_drills_mark(city):
    await city.post("/mail", **{**FORM, "lang": "en"})
    await city.link_to("new@example.jp")
    (mail,) = city.mails_to("new@example.jp")
    assert not mail.defects
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"].startswith("[DRILL] Mitaka City")
    assert "【訓練】" not in mail["Subject"]
    assert mail.get_content().startswith("[DRILL] ")
    assert mail.get_content().index("On this page") < mail.get_content().index("下のページで")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@b",
        "a@b.jp\r\nBcc: x@y.jp",
        "あ@example.jp",
        "a@例え.jp",
        '"a b"@example.jp',
        "a" * 5000 + "@example.jp",
    ],
)
async def test_what_is_no_address_is_named_and_what_was_chosen_stays(city, address):
    status, page = await city.post("/mail", **{**FORM, "address": address})
    assert status == 422
    assert "user@example.jp のように" in page
    assert re.search(rf'name="q-{HOME}" checked', page)
    assert not city.world.mails


async def test_an_area_is_needed_and_the_whole_city_is_one_tick(city):
    status, page = await city.post("/mail", lang="ja", do="new", address="new@example.jp", language="ja")
    assert status == 422
    assert "地域を1つ以上" in page
    status, page = await city.post("/mail", lang="ja", do="new", address="no", language="ja")
    assert "user@example.jp のように" in page  # every problem at once
    assert "地域を1つ以上" in page
    await city.post("/mail", lang="ja", do="new", address="some@example.jp", language="ja", **{"g-2": "on"})
    link = await city.link_to("some@example.jp")
    assert (await city.channel.register.opened(link.removeprefix("/m/"))).choice.quarters == tuple(OSAWA)
    await city.post("/mail", lang="ja", do="new", address="new@example.jp", all="on", language="ja")
    link = await city.link_to("new@example.jp")
    opened = await city.channel.register.opened(link.removeprefix("/m/"))
    assert opened.choice.quarters == tuple(CITY.quarters)
    assert len(link) < 1_000


async def test_wrong_altered_foreign_and_old_links_are_one_page(tmp_path):
    async with a_city(tmp_path / "here") as city:
        await city.post("/mail", **FORM)
        link = await city.link_to("new@example.jp")
        altered = link[:-3] + ("AAA" if link[-3:] != "AAA" else "BBB")
        answers = [await city.get(path) for path in ("/m/x", "/m/" + "A" * 1400, altered, "/m/あ", f"{link}/x")]
        assert {status for status, _ in answers} == {404}
        assert len({page for _, page in answers[:4]}) == 1
        for path in ("/m/x", altered):
            status, _ = await city.post(path, lang="ja", do="leave")
            assert status == 404
            status, _ = await city.post(path, lang="ja", do="save", all="on")
            assert status == 404
    async with a_city(tmp_path / "there") as city:
        assert await city.get(link) == answers[0]
    async with a_city(tmp_path / "here", clock=Tomorrow()) as city:
        assert await city.get(link) == answers[0]


async def test_a_stranger_gets_few_mails_a_day_and_the_one_who_asks_sees_no_difference(city):
    answers = {await city.post("/mail", **FORM) for _ in range(6)}
    assert len(answers) == 1
    await city.link_to("new@example.jp", 3)
    await city.post("/mail", **{**FORM, "address": "last@example.jp"})
    await city.link_to("last@example.jp")
    assert len(city.mails_to("new@example.jp")) == 3
    assert not [m for m in city.world.mails if m.recipients == ("NEW@EXAMPLE.JP",)]


async def test_a_mail_that_the_relay_puts_off_keeps_nobody_waiting(city):
    city.world.answers["new@example.jp"] = "450 4.2.0 Greylisted"
    await city.post("/mail", **FORM)
    await city.post("/mail", **{**FORM, "address": "second@example.jp"})
    await city.link_to("second@example.jp")
    assert not city.mails_to("new@example.jp")
    async with city.world.down():
        await city.post("/mail", **{**FORM, "address": "third@example.jp"})
    city.world.answers.clear()
    await city.link_to("new@example.jp")
    await city.link_to("third@example.jp")


async def test_one_client_cannot_send_mail_to_a_whole_list(city):
    answers = [await city.post("/mail", **{**FORM, "address": f"victim{n:03d}@example.jp"}) for n in range(25)]
    assert [status for status, _ in answers].count(200) == 20
    assert {status for status, _ in answers[20:]} == {429}


async def test_a_flood_of_clients_keeps_nothing_but_bounded_counters(city, tmp_path):
    database = tmp_path / "state" / "register.db"
    await city.members()
    before = database.stat().st_size
    for n in range(30):
        await city.channel.register.invite(f"user{n}@example.org", None, "ja", f"198.51.100.{n}")
    await city.link_to("user29@example.org")
    assert database.stat().st_size == before


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_stands_in_every_language_with_the_drills_mark(city, language):
    await city.post("/mail", **FORM)
    link = await city.link_to("new@example.jp")
    pages = [await city.get(f"/mail?lang={language}"), await city.get(f"{link}?lang={language}")]
    pages += [await city.get(f"/m/x?lang={language}")]
    for _, page in pages:
        assert f'<html lang="{language}">' in page
        assert Drill.banner(language).strip() in page
        assert "mail_" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    for topic in CHOICES:
        assert f'name="t-{topic}"' in pages[0][1]
    assert language in READ


async def test_a_live_page_bears_no_mark(tmp_path):
    async with a_city(tmp_path, Live) as city:
        _, page = await city.get("/mail")
        assert "訓練" not in page
