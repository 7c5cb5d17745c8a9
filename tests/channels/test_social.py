"""The X channel against the API stand-in, which checks signatures, duplicates and lengths as X does."""

import json
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.social import Kind, Settings, Social, thread
from channels.social.posted import Posted
from config.cities import load
from config.secret import Secret
from dispatcher.channel import with_banner
from dispatcher.errors import PermanentFailure, TemporaryFailure
from dispatcher.model.alert import Added, Alert, Area, Named
from dispatcher.model.delivery import Outcome
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from drills.world.social import Fault, World, signature
from tests.contracts.channel_contract import ChannelContract, Memory, Rig, attempt, members, surroundings, until_taken
from tests.samples import OSAWA, SENT, correction, evacuation_order, lifting, retraction


def settings_for(world: World, **others) -> Settings:
    keys = {name: Secret(value) for name, value in world.keys.items()}
    given = {"account": world.account, "api_url": world.url, "languages": ("ja", "ja-x-easy", "en-US"), "timeout": 5.0}
    return Settings(**(keys | given | others))


class SocialRig(Rig):
    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.channel: Social[Drill] = Social(Drill, settings_for(world), surroundings(folder / "state"))

    async def texts(self) -> Sequence[tuple[str, str]]:
        await self.world.keep(self.folder / "kept")
        lines = (self.folder / "kept" / "posts.jsonl").read_text("utf-8").splitlines()
        return [(language_of(text), text) for text in (json.loads(line)["text"] for line in lines)]

    async def tellings(self, rendering: Rendering[Drill]) -> Counter[str]:
        posted = [post["text"] for post in self.world.posts]
        return Counter({self.world.account: max(posted.count(text.words) for text in rendering.texts)})

    def broken(self) -> AbstractAsyncContextManager[None]:
        return self.world.down()

    def other_mode(self) -> Social[Live]:
        return Social(Live, settings_for(self.world), surroundings(self.folder / "live"))


def language_of(text: str) -> str:
    return "ja" if any("IDEOGRAPH" in unicodedata.name(c, "") for c in text) else "en-US"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[SocialRig]:
    async with World(tmp_path / "world", load("mitaka"), seed=1) as world:
        rig = SocialRig(world, tmp_path)
        async with rig.channel.open(Memory()):
            yield rig


class TestSocialKeepsTheContract(ChannelContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[SocialRig]:
        async with World(tmp_path / "world", load("mitaka"), seed=1) as world:
            rig = SocialRig(world, tmp_path)
            async with rig.channel.open(Memory()):
                yield rig


async def rendered(rig: SocialRig, alert: Alert[Drill] | None = None) -> Rendering[Drill]:
    return rig.channel.render(alert or evacuation_order(Drill), await rig.channel.audience(OSAWA))


def posted_texts(rig: SocialRig) -> list[str]:
    return [post["text"] for post in rig.world.posts]


def expected_texts(rendering: Rendering[Drill]) -> list[str]:
    return [text.words for text in rendering.texts]


def test_the_kind_is_found_by_the_name_of_its_module():
    assert Kind.kind == "social"


def test_the_stand_ins_signature_is_that_of_xs_own_example():
    # docs.x.com, "Creating a signature": keys, parameters and result are published there.
    parameters = [
        ("status", "Hello Ladies + Gentlemen, a signed OAuth request!"),
        ("include_entities", "true"),
        ("oauth_consumer_key", "xvz1evFS4wEEPTGEFPHBog"),
        ("oauth_nonce", "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg"),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", "1318622958"),
        ("oauth_token", "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
        ("oauth_version", "1.0"),
    ]
    secrets = ("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
    url = "https://api.twitter.com/1.1/statuses/update.json"
    assert signature("POST", url, parameters, *secrets) == "hCtSmYh+iHYCEqBWrE7C7hYmtUk="


async def test_the_stand_in_refuses_a_request_without_a_signature(rig: SocialRig):
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{rig.world.url}/2/tweets", json={"text": "a"}) as answer,
    ):
        assert answer.status == 401
    assert not rig.world.posts


async def test_the_stand_in_refuses_the_same_nonce_twice(rig: SocialRig):
    headers: dict[str, str] = {}

    async def keep_headers(request, handler):
        headers.update(request.headers)
        return await handler(request)

    client = rig.channel._api._client
    async with aiohttp.ClientSession(middlewares=(rig.channel._api._redirect, keep_headers)) as session:
        own, client.session = client.session, session
        assert (await rig.channel.probe()).is_up
        client.session = own
        url = f"{rig.world.url}/2/users/me"
        async with session.get(url, headers={"Authorization": headers["Authorization"]}, middlewares=()) as again:
            assert again.status == 401


async def test_a_wrong_secret_is_refused_and_the_probe_says_so_in_xs_words(rig: SocialRig, tmp_path: Path):
    wrong = settings_for(rig.world, access_token_secret=Secret("wrong"))
    channel = Social(Drill, wrong, surroundings(tmp_path / "wrong"))
    async with channel.open(Memory()):
        probe = await channel.probe()
        assert not probe.is_up
        assert "401 Unauthorized" in probe.words
        with pytest.raises(TemporaryFailure, match="401"):
            await attempt(channel, await rendered(rig), await members(channel))
    assert not rig.world.posts


async def test_nothing_is_posted_with_the_keys_of_another_account(rig: SocialRig, tmp_path: Path):
    channel = Social(Drill, settings_for(rig.world, account="mitaka_bousai"), surroundings(tmp_path / "other"))
    async with channel.open(Memory()):
        assert rig.world.account in (await channel.probe()).words
        with pytest.raises(PermanentFailure, match=rig.world.account):
            await attempt(channel, await rendered(rig), await members(channel))
    assert not rig.world.posts


async def test_a_short_alert_is_one_post_without_a_number(rig: SocialRig, tmp_path: Path):
    channel = Social(Drill, settings_for(rig.world, languages=("ja",)), surroundings(tmp_path / "short"))
    rendering = channel.render(lifting(evacuation_order(Drill)), await channel.audience(OSAWA))
    assert len(rendering.texts) == 1
    assert "1/1" not in rendering.texts[0].words
    assert channel.cost(rendering, 1) == 1


async def test_a_long_alert_is_a_thread_of_chained_replies_in_the_order_of_the_languages(rig: SocialRig):
    rendering = await rendered(rig)
    told = await attempt(rig.channel, rendering, await members(rig.channel))
    assert [t.outcome for t in told] == [Outcome.TAKEN]
    assert told[0].medium_id == rig.world.posts[0]["id"]
    assert posted_texts(rig) == expected_texts(rendering)
    assert len(rendering.texts) > 3
    assert [p["in_reply_to"] for p in rig.world.posts] == [None, *(p["id"] for p in rig.world.posts[:-1])]
    for n, text in enumerate(rendering.texts, 1):
        assert f"{n}/{len(rendering.texts)}" in text.words
    languages = [text.language for text in rendering.texts]
    assert list(dict.fromkeys(languages)) == ["ja", "ja-x-easy", "en-US"]
    assert rig.channel.cost(rendering, 1) == len(rendering.texts)


async def test_no_post_holds_an_address_unless_the_settings_ask_for_one(rig: SocialRig, tmp_path: Path):
    assert not any("http" in text for text in expected_texts(await rendered(rig)))
    with_link = Social(Drill, settings_for(rig.world, with_link=True), surroundings(tmp_path / "link"))
    async with with_link.open(Memory()):
        rendering = with_link.render(evacuation_order(Drill), await with_link.audience(OSAWA))
        assert sum("http://127.0.0.1:8080" in text for text in expected_texts(rendering)) == 1
        assert not rendering.findings
        await until_taken(with_link, rendering, await members(with_link))
        (tmp_path / "link" / "posts.jsonl").write_text("")
    forgetful = Social(Drill, settings_for(rig.world, with_link=True), surroundings(tmp_path / "link"))
    async with forgetful.open(Memory()):  # X shows & escaped and addresses as t.co; they are recognised all the same
        told = await attempt(forgetful, rendering, await members(forgetful))
        assert [t.outcome for t in told] == [Outcome.DUPLICATE]
        assert told[0].medium_id == rig.world.posts[0]["id"]


async def test_an_address_in_the_words_of_staff_is_a_finding_that_does_not_block(rig: SocialRig):
    order = evacuation_order(Drill)
    info = replace(order.info[0], description="くわしくは city.mitaka.lg.jp へ。")
    findings = (await rendered(rig, replace(order, info=(info, *order.info[1:])))).findings
    assert any("city.mitaka.lg.jp" in f.reason and not f.blocks for f in findings)


async def test_words_that_make_too_long_a_thread_or_that_x_refuses_block_the_alert(rig: SocialRig):
    order = evacuation_order(Drill)
    for description, words in (("避難してください。" * 400, "12 件を超えます"), ("川\ufeffです", "使えない文字")):
        info = replace(order.info[0], description=description)
        findings = (await rendered(rig, replace(order, info=(info, *order.info[1:])))).findings
        assert any(words in f.reason and f.blocks for f in findings)


async def test_a_language_that_the_alert_does_not_have_is_a_finding_that_does_not_block(rig: SocialRig):
    order = evacuation_order(Drill)
    findings = (await rendered(rig, replace(order, info=order.info[:1]))).findings
    assert [f.blocks for f in findings] == [False, False]


async def test_a_list_of_places_too_long_for_a_head_is_said_in_full_in_the_body(rig: SocialRig):
    quarters = load("mitaka").quarters
    place = "大沢、" + "、".join(q.names["ja"] for q in list(quarters.values())[:40])
    order = evacuation_order(Drill)
    info = replace(order.info[0], headline="いますぐ避難", area=(Area(place),))
    rendering = await rendered(rig, replace(order, info=(info, *order.info[1:])))
    ja = [t.words for t in rendering.texts if t.language == "ja"]
    assert all("大沢" in words and "【訓練】" in words for words in ja)
    said = "".join("".join(words.splitlines()[1:]) for words in ja)
    assert place in said


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="川の水。、 ab.\n!?（）😀é", min_size=1, max_size=200), min_size=1, max_size=4),
    st.sampled_from(["大沢", "大沢、" * 40 + "大沢"]),
)
def test_a_thread_says_every_word_and_each_post_fits(paragraphs: list[str], place: str):
    order = evacuation_order(Drill)
    info = replace(order.info[0], description="\n".join(paragraphs), area=(Area(place),))
    alert = with_banner(replace(order, info=(info,)), Drill)
    posts, findings = thread.posts(alert, alert.info, {"ja": "【訓練】"}, link=None, longest=60)
    assert all(thread.is_postable(text) for _, text in posts), findings
    assert all("【訓練】" in text and "大沢" in text for _, text in posts)
    bodies = "".join(text if len(posts) == 1 else text.partition("\n")[2] for _, text in posts)
    for paragraph in paragraphs:
        assert "".join(paragraph.split()) in "".join(bodies.split())


async def test_a_thread_that_broke_off_goes_on_with_the_missing_post(rig: SocialRig):
    rendering = await rendered(rig)
    to = await members(rig.channel)
    told = await _after_two_posts(rig, Fault.HTML_503)
    assert told[0].outcome is Outcome.UNKNOWN
    assert "503" in told[0].words
    assert f"{len(rendering.texts)} 件中 2 件" in told[0].words
    assert (await attempt(rig.channel, rendering, to))[0].outcome is Outcome.TAKEN
    assert posted_texts(rig) == expected_texts(rendering)


async def _after_two_posts(rig: SocialRig, fault: Fault):
    rig.world.ask_after(2, fault)
    return await attempt(rig.channel, await rendered(rig), await members(rig.channel))


@pytest.mark.parametrize("fault", [Fault.HTML_503_POSTED, Fault.CUT_POSTED, Fault.SILENT_POSTED, Fault.GARBLED])
async def test_a_post_that_was_made_without_an_answer_is_found_on_the_timeline_and_not_repeated(
    rig: SocialRig, tmp_path: Path, fault: Fault
):
    channel = Social(Drill, settings_for(rig.world, timeout=0.4), surroundings(tmp_path / "hasty"))
    async with channel.open(Memory()):
        rendering = await rendered(rig)
        rig.world.ask(fault)
        told = await attempt(channel, rendering, await members(channel))
        assert [t.outcome for t in told] == [Outcome.TAKEN]
        assert told[0].medium_id == rig.world.posts[0]["id"]
    assert posted_texts(rig) == expected_texts(rendering)


async def test_a_post_that_was_not_made_in_time_is_unknown_and_the_next_attempt_looks_before_it_posts(
    rig: SocialRig, tmp_path: Path
):
    channel = Social(Drill, settings_for(rig.world, timeout=0.4), surroundings(tmp_path / "hasty"))
    async with channel.open(Memory()):
        assert (await channel.probe()).is_up
        rendering = await rendered(rig)
        to = await members(channel)
        rig.world.ask(Fault.SILENT)
        told = await attempt(channel, rendering, to)
        assert [t.outcome for t in told] == [Outcome.UNKNOWN]
        assert "0.4 秒以内に答えません" in told[0].words
        rig.world.requests.clear()
        assert [t.outcome for t in await attempt(channel, rendering, to)] == [Outcome.TAKEN]
    methods = [method for method, _ in rig.world.requests]
    assert methods == ["GET", *["POST"] * len(rendering.texts)]
    assert posted_texts(rig) == expected_texts(rendering)


async def test_after_a_crash_in_mid_thread_the_next_process_goes_on_where_it_stopped(rig: SocialRig, tmp_path: Path):
    rendering = await rendered(rig)
    await _after_two_posts(rig, Fault.HTML_503)
    journal = tmp_path / "state" / "posts.jsonl"
    lines = journal.read_text("utf-8").splitlines()
    journal.write_text(
        "\n".join(lines[:2]) + '\n{"digest": "torn', "utf-8"
    )  # killed while it wrote down the second post
    revived = Social(Drill, settings_for(rig.world), surroundings(tmp_path / "state"))
    async with revived.open(Memory()):
        assert (await attempt(revived, rendering, await members(revived)))[0].outcome is Outcome.TAKEN
    assert posted_texts(rig) == expected_texts(rendering)
    assert [p["in_reply_to"] for p in rig.world.posts] == [None, *(p["id"] for p in rig.world.posts[:-1])]


async def test_another_node_without_any_memory_repeats_nothing_because_x_refuses_duplicates(
    rig: SocialRig, tmp_path: Path
):
    rendering = await rendered(rig)
    await _after_two_posts(rig, Fault.HTML_503)
    other = Social(Drill, settings_for(rig.world), surroundings(tmp_path / "other"))
    async with other.open(Memory()):
        told = await attempt(other, rendering, await members(other))
    assert told[0].outcome in {Outcome.TAKEN, Outcome.DUPLICATE}
    assert posted_texts(rig) == expected_texts(rendering)
    assert [p["in_reply_to"] for p in rig.world.posts] == [None, *(p["id"] for p in rig.world.posts[:-1])]


async def test_where_x_does_not_let_us_look_its_refusal_of_duplicates_is_enough(rig: SocialRig, tmp_path: Path):
    rendering = await rendered(rig)
    to = await members(rig.channel)
    await until_taken(rig.channel, rendering, to)
    other = Social(Drill, settings_for(rig.world), surroundings(tmp_path / "other"))
    async with other.open(Memory()):
        await other.probe()
        rig.world.ask(Fault.RATE_LIMIT, times=20, method="GET")
        told = await attempt(other, rendering, to)
    assert [t.outcome for t in told] == [Outcome.DUPLICATE]
    assert posted_texts(rig) == expected_texts(rendering)


async def test_a_rate_limit_is_tried_again_when_x_says_that_it_ends(rig: SocialRig):
    rig.world.ask(Fault.RATE_LIMIT)
    rig.world.reset_in_s = 120
    with pytest.raises(TemporaryFailure) as caught:
        await attempt(rig.channel, await rendered(rig), await members(rig.channel))
    assert 110 <= caught.value.retry_after_s <= 121
    assert "429 Too Many Requests" in str(caught.value)


async def test_a_reset_far_in_the_future_is_not_believed(rig: SocialRig):
    rig.world.ask(Fault.RATE_LIMIT)
    rig.world.reset_in_s = 10**9
    with pytest.raises(TemporaryFailure) as caught:
        await attempt(rig.channel, await rendered(rig), await members(rig.channel))
    assert caught.value.retry_after_s == 900


async def test_a_suspended_account_is_a_permanent_failure_in_xs_words(rig: SocialRig):
    rig.world.ask(Fault.SUSPENDED)
    with pytest.raises(PermanentFailure, match="suspended"):
        await attempt(rig.channel, await rendered(rig), await members(rig.channel))


@pytest.mark.parametrize(("follow", "mark"), [(retraction, "【取消】"), (correction, "【訂正】"), (lifting, "解除")])
async def test_what_follows_an_order_says_so_first_and_replies_to_it(rig: SocialRig, tmp_path: Path, follow, mark: str):
    order = evacuation_order(Drill)
    to = await members(rig.channel)
    await until_taken(rig.channel, await rendered(rig, order), to)
    original = rig.world.posts[0]["id"]
    revived = Social(Drill, settings_for(rig.world), surroundings(tmp_path / "state"))
    async with revived.open(Memory()):  # the original's id is known after a restart, too
        following = await rendered(rig, follow(order))
        await until_taken(revived, following, to)
    first = next(p for p in rig.world.posts if p["text"] == following.texts[0].words)
    assert first["in_reply_to"] == original
    assert first["text"].startswith("【訓練】")
    assert mark in first["text"].partition("\n")[0]
    if mark != "解除":
        assert first["text"].startswith("【訓練】" + mark)
        assert all("取消" in t.words or "訂正" in t.words for t in following.texts if t.language.startswith("ja"))


async def test_a_retraction_does_not_name_a_level_or_shelters(rig: SocialRig):
    texts = expected_texts(await rendered(rig, retraction(evacuation_order(Drill))))
    assert not any("警戒レベル" in text or "避難所：" in text for text in texts)


async def test_a_retraction_goes_out_even_when_somebody_deleted_the_original(rig: SocialRig):
    order = evacuation_order(Drill)
    to = await members(rig.channel)
    await until_taken(rig.channel, await rendered(rig, order), to)
    rig.world.delete(rig.world.posts[0]["id"])
    cancel = await rendered(rig, retraction(order))
    assert (await attempt(rig.channel, cancel, to))[0].outcome is Outcome.TAKEN
    assert set(expected_texts(cancel)) <= set(posted_texts(rig))


async def test_a_fresh_order_is_no_reply(rig: SocialRig):
    order = evacuation_order(Drill)
    later = replace(order, identifier="mitaka-20260914-0002", sent=SENT + timedelta(minutes=20))
    to = await members(rig.channel)
    await until_taken(rig.channel, await rendered(rig, order), to)
    count = len(rig.world.posts)
    await until_taken(rig.channel, await rendered(rig, later), to)
    assert rig.world.posts[count]["in_reply_to"] is None


async def test_a_next_update_that_is_no_time_is_said_as_it_stands(rig: SocialRig):
    order = evacuation_order(Drill)
    odd = tuple(replace(p, value="夕方") if p.value_name == Added.NEXT_UPDATE else p for p in order.info[0].parameter)
    info = replace(order.info[0], parameter=(*odd, Named("x", "y")))
    assert any(
        "次の情報：夕方" in text
        for text in expected_texts(await rendered(rig, replace(order, info=(info, *order.info[1:]))))
    )


def test_a_full_disk_does_not_lose_what_is_remembered_in_the_process(tmp_path: Path):
    posted = Posted(tmp_path / "none" / "posts.jsonl")
    with pytest.raises(OSError):
        posted.begin("d", "a")
    with pytest.raises(OSError):
        posted.add("d", 0, "1")
    assert posted.was_tried("d")
    assert posted.first_of("a") == "1"


async def test_a_memory_that_cannot_be_written_stops_no_post(rig: SocialRig, tmp_path: Path):
    (tmp_path / "state").rename(tmp_path / "gone")
    told = await attempt(rig.channel, await rendered(rig), await members(rig.channel))
    assert [t.outcome for t in told] == [Outcome.TAKEN]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"account": "@mitaka"}, "account"),
        ({"account": "三鷹"}, "account"),
        ({"languages": ()}, "languages"),
        ({"longest_thread": 0}, "longest_thread"),
        ({"quota_reserve": 100}, "quota_reserve"),
        ({"timeout": 0.0}, "timeout"),
        ({"api_url": "http://example.jp"}, "api_url"),
    ],
)
def test_settings_name_what_is_wrong_with_them(wrong: dict, field: str):
    good = {"account": "mitaka_bousai"} | {
        name: Secret("x") for name in ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
    }
    assert not list(Settings(**good).problems())
    assert [where for where, _ in Settings(**(good | wrong)).problems()] == [field]


def test_no_setting_prints_a_secret():
    secret = Secret("hunter2")
    shown = repr(
        Settings(
            account="a", consumer_key=secret, consumer_secret=secret, access_token=secret, access_token_secret=secret
        )
    )
    assert "hunter2" not in shown
