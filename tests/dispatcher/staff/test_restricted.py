"""Somebody under 閲覧制限 appears to nobody outside the role welfare: in no page, answer, stream, feed, file, event, log or figure.

A seeded canary (name, reading, address, telephone, note, school) is looked for in every byte that comes out of every route of every
door, asked by somebody who has every role but that one; and to the role welfare itself outside the sealed list.
"""

import asyncio
import contextlib
import io
import re
from dataclasses import replace
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.errors import Refused
from dispatcher.log import to_stderr
from dispatcher.model.campaign import Answer
from dispatcher.staff import api
from dispatcher.staff.cases import Said
from dispatcher.staff.console import ROOMS
from dispatcher.staff.rules import Role
from dispatcher.staff.sessions import new_token
from dispatcher.tracking.answering import Reported
from tests.servers.console import APPROVER, ROLES, WRITER, console
from tests.servers.residents import CANARIES, HIDDEN, QUARTERS, WELFARE, residents

pytestmark = pytest.mark.asyncio(loop_scope="module")
OTHERS = [role.value for role in Role if role not in {Role.WELFARE, Role.INTAKE}]
"""Every role but the one: who has them all may look at whatever anybody else may."""
MAY_SEE = re.compile(r"/safety/[^/]+/(sealed|people/[^/]+(/.*)?)")
"""The sealed list, and the page that it leads to: for the role welfare."""
PARAMETER = re.compile(r"{(\w+)[^}]*}")


class Doors:
    """A node with one person under restriction, and everybody's way in."""

    def __init__(self, room, city, tokens, log):
        self.room, self.city, self.tokens, self.log = room, city, tokens, log
        self.ids = {}
        self.seals = {}

    def filled(self, template, choices):
        """A route's address with something that exists for each parameter, or what `choices` says."""
        of = "alert" if template.startswith("/alerts") else "draft" if template.startswith("/drafts") else "campaign"
        known = {"id": self.ids[of], "person": self.ids["person"], "kind": "website", "key": self.ids["key"]}
        known |= {"report": self.ids["report"], "answer": "no", "facility": "F001", "act": "resume"}
        known |= {"tag": "0" * 12, "digest": "0" * 64, "name": "x", "system": "x", "code": "E1320400002111"}
        known |= choices
        return PARAMETER.sub(lambda m: quote(known.get(m[1], "x"), safe=""), template)

    async def page(self, who, method, path, fields=None):
        """What the console answers to this person's browser."""
        async with asyncio.timeout(20):
            headers = {"Origin": self.room.url, "Sec-Fetch-Site": "same-origin"}
            data = {"_seal": self.seals[who], "_mode": "drill", **(fields or {})} if method != "GET" else None
            async with self.browsers[who].session.request(
                method, self.room.url + path, data=data, headers=headers, allow_redirects=False
            ) as answer:
                return answer.status, await read(answer)

    async def called(self, who, method, path, body=None):
        """What the API answers to this person's token."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        url = self.room.url + api.PREFIX + path
        async with asyncio.timeout(20), self.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await read(answer)


async def read(answer):
    """All of an answer; of a stream its first piece."""
    if answer.content_type != "text/event-stream":
        return str(answer.headers).encode() + await answer.read()
    data = b""
    while b"\ndata:" not in data:
        data += await answer.content.readany()
    return data


def see_no_canary(data, where, canaries=CANARIES):
    text = data.decode("utf-8", "replace")
    # In JSON and in addresses the same words are written otherwise.
    for canary in canaries:
        for form in (canary, quote(canary), canary.encode("unicode_escape").decode()):
            assert form not in text, f"{canary} in {where}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory):
    tokens, staff = {}, []
    for name, roles in (("others", OTHERS), ("viewer", ["viewer"]), ("welfare", ["welfare", "approver"])):
        tokens[name], kept = new_token()
        staff.append({"name": f"機械{name}", "roles": roles, "token_hash": kept})
    also = {WRITER: OTHERS, APPROVER: [*ROLES[APPROVER], "welfare"]}
    log = io.StringIO()
    with contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
        to_stderr(0)
        async with console(tmp_path_factory.mktemp("restricted"), also=also, staff=staff) as room:
            city, desk = residents(room.node), room.node.desk
            found = Doors(room, city, tokens, log)
            found.ids["alert"] = await room.issued(areas=("大沢一丁目",))
            found.ids["draft"] = await room.pending(areas=("大沢二丁目",))
            found.ids["campaign"] = campaign = await city.asked(found.ids["alert"])
            found.ids["person"] = person = city.ids[HIDDEN.name]
            # Everything that can happen to somebody has happened to them.
            for answer, source in (("help", "self"), ("ok", "relative"), ("hurt", "household")):
                await desk.answer_for(WELFARE, campaign, person, Said(answer, source, saw=False, text=HIDDEN.note))
            now = room.node.path.clock.now()
            for key, name in (("r1", HIDDEN.name), ("r2", "住民0002")):
                await city.loop.answering.report(
                    Reported(key, Answer.HELP, False, "website", now, name, details={"note": "階段"})
                )
            (report,) = await desk.unmatched(WELFARE, campaign, is_sealed=True)
            found.ids["report"] = report.id
            await desk.take_on(WELFARE, campaign, person)
            await desk.look_up(WELFARE, campaign, HIDDEN.name, reason="inquiry", at_most=5)
            found.ids["key"] = await desk.propose_release(WELFARE, reason="支援者の確保", hours=1)
            async with (
                room.signed_in(WRITER) as others,
                room.signed_in(APPROVER) as welfare,
                aiohttp.ClientSession() as found.session,
            ):
                found.browsers = {"others": others, "welfare": welfare}
                for who, browser in found.browsers.items():
                    found.seals[who] = (await browser.get("/own")).form("/signout")["_seal"]
                yield found


CONSOLE = [
    (route.method, route.path)
    for room in ROOMS
    for route in room.ROUTES
    # Whoever signs out sees nothing more.
    if route.path not in {"/signout", "/signin"}
]
API = [(route.method, route.path) for route in api.ROUTES]


async def test_the_canary_is_there_to_be_found_by_the_role_welfare_on_the_sealed_list(doors):
    _, page = await doors.page("welfare", "GET", f"/safety/{doors.ids['campaign']}/sealed")
    _, answer = await doors.called("welfare", "GET", f"/safety/{doors.ids['campaign']}/sealed")
    for data in (page, answer):
        assert HIDDEN.name in data.decode()
        assert "カナリア荘" in data.decode()


async def test_a_rehearsal_of_what_concerns_residents_writes_nothing(doors):
    """Asked with `dry_run`, an act passes every rule and is forgotten."""
    campaign, who = doors.ids["campaign"], doors.city.ids["住民0001"]
    before = (await doors.city.loop.person(campaign, who)).version
    for path, body in (
        (f"/safety/{campaign}/people/{who}/answer", {"answer": "help", "source": "self", "saw": False, "text": ""}),
        (f"/safety/{campaign}/people/{who}/take", None),
        ("/safety", {"mode": "drill", "about": doors.ids["alert"]}),
        (f"/safety/{campaign}/again", {"mode": "drill"}),
        (f"/safety/{campaign}/end", {"mode": "drill"}),
    ):
        status, data = await doors.called("welfare", "POST", f"{path}?dry_run=true", body)
        assert status in {200, 201}, data
        assert b'"dry_run"' in data
    assert (await doors.city.loop.person(campaign, who)).version == before


@pytest.mark.parametrize("who", ["others", "welfare"])
async def test_no_page_shows_them(doors, who):
    statuses = set()
    for method, template in CONSOLE:
        path = doors.filled(template, {})
        if method != "GET" or (who == "welfare" and MAY_SEE.fullmatch(path)):
            continue
        status, data = await doors.page(who, "GET", f"{path}?kind=website&show=all&list=silent")
        see_no_canary(data, f"{who} {path}")
        statuses.add(status)
    assert 200 in statuses


@pytest.mark.parametrize("who", ["others", "viewer", "welfare"])
async def test_no_answer_of_the_api_shows_them(doors, who):
    for method, template in API:
        path = doors.filled(template, {})
        if method != "GET" or (who == "welfare" and MAY_SEE.fullmatch(path)):
            continue
        _, data = await doors.called(who, "GET", path)
        see_no_canary(data, f"{who} {path}")
    for body in ({"words": "三鷹", "reason": "inquiry"}, {"words": "0422", "reason": "called"}):
        _, data = await doors.called(who, "POST", f"/safety/{doors.ids['campaign']}/search", body)
        see_no_canary(data, f"{who} search")


WORDS = st.sampled_from(["三鷹", "大沢", "0422", "住", "", "九九", "カナ", "needs_help", "x" * 70])
FORMS = st.fixed_dictionaries(
    {},
    optional={
        "reason": st.sampled_from(["inquiry", "visit", "工事のため", ""]),
        "answer": st.sampled_from(["ok", "help", "?"]),
        "source": st.sampled_from(["self", "relative", "?"]),
        "kind": st.sampled_from(["safety", "watch", "website"]),
        "area": st.sampled_from([*QUARTERS, "x"]),
        "_words": WORDS,
        "text": WORDS,
        "place": WORDS,
        "saw": st.just("1"),
        "_act": st.sampled_from(["ask", "end", "submit", "save"]),
    },
)
EXISTING = st.sampled_from(["campaign", "alert", "draft", "person", "report", "key"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([(m, t) for m, t in CONSOLE if "/own" not in t and "channels" not in t]), FORMS, EXISTING, EXISTING
)
async def test_whatever_is_asked_of_the_console_and_however_it_is_filled_in_they_do_not_appear(
    doors, route, fields, first, second
):
    method, template = route
    path = doors.filled(template, {"person": doors.ids[first], "report": doors.ids[second]})
    query = "?" + "&".join(f"{name}={quote(value)}" for name, value in fields.items()) if method == "GET" else ""
    _, data = await doors.page("others", method, path + query, fields)
    see_no_canary(data, f"{method} {path}")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(API), FORMS, EXISTING, EXISTING, st.booleans())
async def test_whatever_is_asked_of_the_api_and_however_it_is_filled_in_they_do_not_appear(
    doors, route, fields, first, second, is_rehearsal
):
    method, template = route
    path = doors.filled(template, {"person": doors.ids[first], "report": doors.ids[second]})
    body = {**fields, "mode": "drill", "words": fields.get("_words", "三鷹"), "areas": ["大沢"]}
    _, data = await doors.called(
        "others", method, path + ("?dry_run=true" if is_rehearsal else ""), None if method == "GET" else body
    )
    see_no_canary(data, f"{method} {path}")


async def test_no_page_feed_or_file_of_the_residents_site_shows_them(doors):
    public = doors.room.node.path.web
    folder = doors.room.node.channels["website"].settings.folder
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert files
    async with aiohttp.ClientSession() as session:
        for path in ["", "report", "shelters", f"a/{'a' * 26}", f"k/{'a' * 26}", *map(str, files)]:
            async with session.get(f"{public}/{path}") as answer:
                see_no_canary(await answer.read(), path)
    for path in files:
        see_no_canary((folder / path).read_bytes(), path)


async def test_no_event_record_log_line_figure_or_byte_of_the_ledger_shows_them(doors):
    ledger = doors.room.node.ledger
    story = await ledger.story(limit=100_000)
    see_no_canary(repr([one.event for one in story]).encode(), "the ledger's events")
    assert any(one.event.name == "resident.searched" for one in story)
    for kind in ("look-up", "idempotency", "safety-proposal", "composing"):
        see_no_canary(repr(await ledger.records(kind)).encode(), kind)
    see_no_canary(repr(await ledger.figures()).encode(), "figures")
    assert "node.started" in doors.log.getvalue()
    see_no_canary(doors.log.getvalue().encode(), "the log")
    state = doors.room.node.desk.pictures.parent
    for path in state.rglob("*"):
        if path.is_file():
            # Which schools are among the asked stands there in clear, and is no secret.
            see_no_canary(path.read_bytes(), path, [c for c in CANARIES if c != HIDDEN.facility])


async def test_what_is_refused_names_nobody(doors):
    case = await doors.city.loop.person(doors.ids["campaign"], doors.ids["person"])
    assert HIDDEN.name == case.name
    see_no_canary(repr(case).encode() + repr(replace(case, version=9)).encode(), "a repr")
    desk = doors.room.node.desk
    with pytest.raises(Refused) as refused:
        await desk.case(replace(WELFARE, roles=("viewer",)), doors.ids["campaign"], doors.ids["person"])
    see_no_canary(repr(refused.value).encode(), "a refusal")
