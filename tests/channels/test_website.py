"""The site: its pages and feeds through all that follows a message, read by feedparser and a reader of HTML."""

import asyncio
import gzip
import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import feedparser
import pytest

from channels.website import Kind, Settings, Website
from channels.website.entry import Entry, chains, file_name
from config.words import language_of
from dispatcher import cap
from dispatcher.clock import ManualClock, SystemClock
from dispatcher.errors import InvalidInput
from dispatcher.model.alert import MsgType, Reference
from dispatcher.model.mode import Drill
from tests.channels.website.site import NOW, ORDER, RETRACTED, Page, WebsiteRig, rig
from tests.contracts.channel_contract import ChannelContract, Memory, attempt, members, surroundings
from tests.samples import OSAWA, correction, evacuation_order, lifting

__all__ = ["rig"]


class TestContract(ChannelContract):
    @pytest.fixture
    def rig(self, rig: WebsiteRig) -> WebsiteRig:
        return rig


def test_the_node_finds_the_channel_by_its_kind():
    assert Kind is Website
    assert Kind.kind == "website"
    assert not Kind.counts_people


@pytest.mark.parametrize(
    "url", ["ftp://x", "bousai.example.jp", "http://", "http://x:99999", "http://x/?a", "http://[x"]
)
def test_an_address_that_is_none_is_a_problem(url):
    assert [where for where, _ in Settings(folder=Path("x"), url=url).problems()] == ["url"]
    assert not list(Settings(folder=Path("x"), url="https://bousai.example.jp/a").problems())


async def test_the_index_and_the_feeds_stand_before_the_first_message(rig):
    assert "いま出ている避難情報はありません" in (await rig.site.page("index.html")).text
    for name in ("feed.atom", "feed.rss"):
        feed = feedparser.parse(await rig.site.get(name))
        assert not feed.bozo
        assert feed.entries == []


NAMES = ("index.html", "easy.html", "en.html", "zh.html", "ko.html")


async def test_a_page_is_light_carries_no_script_of_its_own_and_names_its_languages(rig):
    await rig.publish(ORDER)
    for name, language in (("index.html", "ja"), ("easy.html", "ja-x-easy"), ("en.html", "en-US")):
        data = await rig.site.get(f"alerts/{ORDER.identifier}/{name}")
        assert len(gzip.compress(data)) <= 14_000
        page = Page(data)
        assert page.languages[0] == language
        assert {"ja", "ja-x-easy", "en-US", "zh", "ko"} <= set(page.languages)
        assert not {"img", "iframe", "meta refresh"} & set(page.tags)
        assert data.count(b"<script") == data.count(b'<script src="../../live.js" defer></script>') == 1
        assert page.tags["svg"] == 1
        assert b"http-equiv" not in data
        assert b'class="band lv4"' in data
        assert re.search(r"4 (警戒レベル4|Level 4) ", page.text)
    page = await rig.site.page(f"alerts/{ORDER.identifier}/index.html")
    assert "東京都" not in page.text
    assert "大沢台小学校 大沢2-6-18" in page.text


async def test_every_link_on_every_page_leads_somewhere(rig):
    await rig.publish(ORDER)
    await rig.publish(RETRACTED)
    folder = f"alerts/{ORDER.identifier}/"
    for base in ("", folder):
        for name in NAMES:
            for link in (await rig.site.page(base + name)).links:
                # The doors to answer and to register at are rooms of the node's, not files.
                if not link.startswith(("tel:", "data:")) and not link.partition("?")[0].endswith(("report", "mail")):
                    assert await rig.site.get(os.path.normpath(base + link))


@pytest.mark.parametrize(("name", "language"), [("easy.html", "ja-x-easy"), ("en.html", "en"), ("ko.html", "ko")])
async def test_the_doors_speak_the_language_of_the_page_that_led_to_them(rig, name, language):
    await rig.publish(ORDER)
    links = [(await rig.site.page(base + name)).links for base in ("", f"alerts/{ORDER.identifier}/")]
    assert {f"report?lang={language}", f"mail?lang={language}"} <= set(links[0])
    (report,) = [link for link in links[1] if link.startswith("../../report?lang=")]
    assert language_of(report.partition("=")[2]) == language


async def test_one_address_carries_an_alert_through_all_that_follows(rig):
    address = f"alerts/{ORDER.identifier}/index.html"
    await rig.publish(ORDER)
    first = await rig.site.page(address)
    assert "まず すること" in first.text
    assert "これまでのお知らせ" not in first.text
    await rig.publish(correction(ORDER))
    corrected = await rig.site.page(address)
    assert "訂正" in corrected.text
    assert "前のお知らせの文に誤りがありました" in corrected.text
    assert "これまでのお知らせ" in corrected.text
    await rig.publish(lifting(ORDER))
    lifted = await rig.site.page(address)
    assert "解除" in lifted.text
    assert b"band over" in await rig.site.get(address)
    assert "まず すること" not in lifted.text
    assert lifted.text.count("CAP") == 4


async def test_a_retraction_says_so_on_page_and_index_in_every_language(rig):
    await rig.publish(ORDER)
    await rig.publish(RETRACTED)
    for name, word in (("index.html", "取消"), ("easy.html", "取消"), ("en.html", "Cancelled")):
        page = await rig.site.page(f"alerts/{ORDER.identifier}/{name}")
        assert word in page.text
        index = await rig.site.page(name)
        assert word in index.text
        assert b"band card" not in await rig.site.get(name)


async def test_an_alert_that_expires_is_past_on_the_index_without_any_further_message(rig):
    clock = ManualClock(NOW)
    channel = Website(Drill, rig.channel.settings, replace(rig.channel.surroundings, clock=clock))
    async with channel.open(Memory()):
        rendering = channel.render(ORDER, await channel.audience(OSAWA))
        await attempt(channel, rendering, await members(channel))
        assert b"band card" in await rig.site.get("index.html")
        clock.advance((ORDER.expires - NOW).total_seconds() - 60)
        assert b"band card" in await rig.site.get("index.html")
        clock.advance(120)
        async with asyncio.timeout(20):
            while b"band card" in await rig.site.get("index.html"):
                await SystemClock().sleep(0.02)
        index = await rig.site.page("index.html")
        assert "終わったお知らせ" in index.text
        assert "いま出ている避難情報はありません" in index.text


async def test_what_comes_late_does_not_bring_back_what_was_retracted(rig):
    await rig.publish(RETRACTED)
    await rig.publish(ORDER)
    page = await rig.site.page(f"alerts/{ORDER.identifier}/index.html")
    assert "取消" in page.text
    assert "まず すること" not in page.text
    entries = feedparser.parse(await rig.site.get("feed.atom")).entries
    assert [e.id for e in entries] == [RETRACTED.identifier, ORDER.identifier]


async def test_the_same_messages_give_the_same_bytes_in_any_order(rig, tmp_path):
    alerts = [ORDER, evacuation_order(Drill, identifier="b", sent=NOW), correction(ORDER), lifting(ORDER)]

    def site(order) -> dict[str, bytes]:
        folder = tmp_path / "-".join(a.identifier for a in order)
        channel = Website(Drill, Settings(folder=folder, url="http://x"), surroundings(tmp_path / "s"))
        for alert in order:
            rendering = channel.render(alert, None)
            channel._publisher.publish(rendering)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert site(alerts) == site(alerts[::-1])


async def test_the_feeds_read_in_feedparser_with_the_cap_message_and_its_type(rig):
    await rig.publish(ORDER)
    await rig.publish(evacuation_order(Drill, identifier="second", sent=NOW + timedelta(seconds=5)))
    before = await rig.site.get("feed.atom")
    await rig.publish(RETRACTED)
    atom = feedparser.parse(await rig.site.get("feed.atom"))
    rss = feedparser.parse(await rig.site.get("feed.rss"))
    for feed in (atom, rss):
        assert not feed.bozo
        assert [e.id for e in feed.entries] == [RETRACTED.identifier, "second", ORDER.identifier]
        assert len({e.id for e in feed.entries}) == 3
        for entry in feed.entries:
            (enclosure,) = [link for link in entry.links if link.rel == "enclosure"]
            assert enclosure.type == "application/cap+xml"
            data = await rig.site.get(enclosure.href.removeprefix(rig.site.url + "/"))
            assert int(enclosure.length) == len(data)
            assert cap.check(data).is_valid
            assert cap.read(data).identifier == entry.id
            assert Drill.banner("ja") in entry.title
            assert await rig.site.get(entry.link.removeprefix(rig.site.url + "/"))
    assert atom.feed.updated == RETRACTED.sent.isoformat()
    assert [e.updated for e in atom.entries] == [e.published for e in atom.entries]
    old = {e.id: e for e in feedparser.parse(before).entries}
    assert {e.id: e for e in atom.entries if e.id in old} == old


async def test_many_messages_keep_the_feeds_small_and_the_newest_in_them(tmp_path):
    channel = Website(Drill, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))
    long = replace(ORDER, info=tuple(replace(i, description=(i.description or "") * 60) for i in ORDER.info))
    for number in range(24):
        alert = replace(long, identifier=f"n{number:02d}", sent=NOW + timedelta(minutes=number))
        channel._publisher.publish(channel.render(alert, None))
    for name in ("feed.atom", "feed.rss"):
        data = (tmp_path / "site" / name).read_bytes()
        assert len(data) <= 100_000
        assert feedparser.parse(data).entries[0].id == "n23"


async def test_markup_in_a_text_stays_text(rig):
    bad = "<script>alert(1)</script>\"'&<!--history-->"
    hostile = replace(ORDER, identifier='../x"<y>', info=tuple(replace(i, headline=bad, event=bad) for i in ORDER.info))
    rendering = await rig.publish(hostile)
    data = await rig.site.get(f"alerts/{file_name(hostile.identifier)}/index.html")
    assert Page(data).tags["script"] == 1
    assert bad in Page(data).text
    assert rendering.identifier in {e.id for e in feedparser.parse(await rig.site.get("feed.atom")).entries}
    assert {p.name for p in rig.site.folder.iterdir()} >= {"alerts", "cap"}
    assert not (rig.site.folder.parent / 'x"<y>').exists()


def test_an_alert_without_any_text_is_refused(tmp_path):
    channel = Website(Drill, Settings(folder=tmp_path, url="http://x"), surroundings(tmp_path / "s"))
    with pytest.raises(InvalidInput, match="no text"):
        channel.render(replace(ORDER, info=()), None)


def test_a_chain_is_found_though_each_message_names_only_the_one_before():
    first = Entry.of(ORDER)
    second = Entry.of(correction(ORDER))
    last = lifting(ORDER)
    third = Entry.of(replace(last, references=(Reference(last.sender, second.identifier, second.sent),)))
    other = Entry.of(replace(ORDER, identifier="other", msg_type=MsgType.UPDATE))
    (one, two) = sorted(chains([third, other, second, first]), key=lambda c: -len(c.entries))
    assert (one.root, [e.identifier for e in one.entries]) == (
        ORDER.identifier,
        [first.identifier, second.identifier, third.identifier],
    )
    assert two.root == "other"
    assert Entry.from_bytes(first.to_bytes()) == first
