"""Two admins for every change, and what programs come with."""

import asyncio

import pytest

from dispatcher.errors import InvalidInput, NotFound, Refused, StaleHash, Unauthenticated
from dispatcher.ledger import Event
from dispatcher.staff.accounts import FORMS, AdminAct, ProposalState
from dispatcher.staff.sessions import Person
from tests.accounts import ADMIN_1, ADMIN_2, accounts_on, admin, room_at

ENGINES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]
WHAT = {
    "add": {"name": "職員0009", "roles": ["viewer"]},
    "remove": {"name": "職員0003"},
    "disable": {"name": "職員0003"},
    "enable": {"name": "職員0003"},
    "roles": {"name": "職員0003", "roles": ["approver"]},
    "reset": {"name": "職員0003"},
    "token": {"title": "intake-jma", "scopes": ["intake"], "days": 400},
    "template": {"template": "evacuation-order", "hash": "0123456789abcdef" * 4},
    "duty": {"mail": ["toban@bousai.example.jp"]},
    "maintenance": {"is_open": True, "reason": "回線の工事"},
}


@pytest.fixture
async def room(tmp_path):
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}") as made:
        await made.add("職員0003", "originator")
        yield made


@pytest.fixture(params=ENGINES)
def dsn(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return request.getfixturevalue("postgres").database()


def test_every_act_has_its_form_and_its_test():
    assert set(FORMS) == set(AdminAct) == set(WHAT)
    assert all(set(FORMS[AdminAct(act)].fields) == set(what) for act, what in WHAT.items())


@pytest.mark.parametrize("act", WHAT)
async def test_an_act_waits_for_a_second_admin_and_stands_with_both_names(room, act):
    accounts, before = room.accounts, await room.accounts.people()
    proposal = await accounts.proposals.propose(admin(ADMIN_1), act, WHAT[act])
    assert proposal.state is ProposalState.PENDING
    assert FORMS[AdminAct(act)].words in proposal.words
    assert await accounts.people() == before, "nothing has happened yet"
    with pytest.raises(Refused, match="自分の提案"):
        await accounts.proposals.approve(admin(ADMIN_1), proposal.id)
    with pytest.raises(Refused, match="管理者ではありません"):
        await accounts.proposals.approve(Person("職員0003", ("approver",)), proposal.id)
    done = (await accounts.proposals.approve(admin(ADMIN_2), proposal.id)).proposal
    assert (done.state, done.by, done.decided_by) == (ProposalState.DONE, ADMIN_1, ADMIN_2)
    named = [
        facts for name, facts in await room.events() if facts.get("proposed_by") == ADMIN_1 and facts["by"] == ADMIN_2
    ]
    assert len(named) >= (2 if act == "token" else 3), "the yes, the deed, and that it was done"
    with pytest.raises(Refused, match="is done"):
        await accounts.proposals.approve(admin(ADMIN_2), proposal.id)
    assert await room.ledger.verify() == []


async def test_what_was_decided_holds(room):
    assert not await room.accounts.approved_templates()
    assert not await room.accounts.duty_list()
    assert await room.accounts.maintenance() is None
    for act in ("template", "duty", "maintenance", "roles"):
        await room.decide(act, WHAT[act])
    assert await room.accounts.approved_templates() == {WHAT["template"]["hash"]}
    assert await room.accounts.duty_list() == WHAT["duty"]["mail"]
    assert (await room.accounts.maintenance())["reason"] == "回線の工事"
    assert (await room.sign_in("職員0003")).person.roles == ("approver",)
    await room.decide("maintenance", {"is_open": False, "reason": "終了"})
    await room.decide("duty", {"mail": []})
    assert await room.accounts.maintenance() is None
    assert not await room.accounts.duty_list()
    assert "toban@" not in str(await room.events())


async def test_nobody_proposes_alone_what_only_admins_may(room):
    for roles in ((), ("viewer",), ("approver", "originator"), ("coordinator",)):
        with pytest.raises(Refused, match="管理者ではありません"):
            await room.accounts.proposals.propose(Person("職員0003", roles), "disable", WHAT["disable"])


async def test_a_proposal_expires_after_a_day(room):
    proposal = await room.accounts.proposals.propose(admin(ADMIN_1), "disable", WHAT["disable"])
    room.clock.advance(24 * 3600 - 1)
    assert (await room.accounts.proposals.one(proposal.id)).state is ProposalState.PENDING
    room.clock.advance(1)
    for ask in (
        room.accounts.proposals.approve(admin(ADMIN_2), proposal.id),
        room.accounts.proposals.reject(admin(ADMIN_2), proposal.id, ""),
    ):
        with pytest.raises(Refused, match="is expired"):
            await ask
    assert next(p.state for p in await room.accounts.proposals.all()) is ProposalState.EXPIRED


async def test_a_proposal_is_rejected_or_withdrawn_with_a_reason(room):
    for by in (ADMIN_1, ADMIN_2):
        proposal = await room.accounts.proposals.propose(admin(ADMIN_1), "disable", WHAT["disable"])
        rejected = await room.accounts.proposals.reject(admin(by), proposal.id, "本人がまだ当直です\x00\ud800")
        assert (rejected.state, rejected.decided_by, rejected.reason) == (
            ProposalState.REJECTED,
            by,
            "本人がまだ当直です",
        )
        with pytest.raises(Refused, match="is rejected"):
            await room.accounts.proposals.approve(admin(ADMIN_2), proposal.id)
    assert (await room.sign_in("職員0003")).person.name == "職員0003"


async def test_two_admins_who_press_at_once_do_it_once(dsn):
    async with room_at(dsn) as room:
        proposal = await room.accounts.proposals.propose(admin("職員0007"), "token", WHAT["token"])

        async def press(name):
            try:
                return (await room.accounts.proposals.approve(admin(name), proposal.id)).handed_over
            except (StaleHash, Refused):
                return ""

        async with asyncio.TaskGroup() as tasks:
            pressed = [tasks.create_task(press(name)) for name in (ADMIN_1, ADMIN_2)]
        assert sum(bool(task.result()) for task in pressed) == 1
        assert len(await room.accounts.tokens.all()) == 1


async def test_a_node_that_stopped_between_the_yes_and_the_deed_is_asked_again(room):
    proposal = await room.accounts.proposals.propose(admin(ADMIN_1), "add", WHAT["add"])
    version, body = await room.ledger.read_record("proposal", proposal.id)
    yes = {**body, "state": "approved", "decided_by": ADMIN_2, "decided_at": room.clock.now().isoformat()}
    await room.ledger.save_record("proposal", proposal.id, version, yes, Event("proposal.approved", ""))
    anew = accounts_on(room.ledger, room.clock)
    assert next(p.state for p in await anew.proposals.all()) is ProposalState.APPROVED
    with pytest.raises(Refused, match="is approved"):
        await anew.proposals.approve(admin(ADMIN_2), proposal.id)
    room.clock.advance(60)
    handed_over = (await anew.proposals.approve(admin(ADMIN_2), proposal.id)).handed_over
    await room.enrol("職員0009", handed_over)
    assert await room.sign_in("職員0009")


@pytest.mark.parametrize("act", ["disable", "remove", "reset", "roles"])
async def test_two_admins_always_remain(tmp_path, act):
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}") as room:
        what = {"name": ADMIN_2, **({"roles": ["viewer"]} if act == "roles" else {})}
        with pytest.raises(Refused, match="two admins must remain"):
            await room.accounts.proposals.propose(admin(ADMIN_1), act, what)
        await room.add("職員0003", "admin")
        first = await room.accounts.proposals.propose(admin(ADMIN_1), act, what)
        second = await room.accounts.proposals.propose(admin(ADMIN_2), act, {**what, "name": "職員0003"})
        await room.accounts.proposals.approve(admin("職員0003"), first.id)
        with pytest.raises(Refused, match="two admins must remain"):
            await room.accounts.proposals.approve(admin(ADMIN_1), second.id)
        assert sum("admin" in each.roles and each.state == "active" for each in await room.accounts.people()) == 2


@pytest.mark.parametrize(
    ("act", "what", "where"),
    [
        ("fly", {}, ["act"]),
        ("add", {}, ["what.name", "what.roles"]),
        ("add", {"name": 1, "roles": "admin", "x": 2}, ["what.x", "what.name", "what.roles"]),
        ("add", {"name": "a\x00b", "roles": ["viewer"]}, ["what.name"]),
        ("add", {"name": "a" * 10_000_000, "roles": ["viewer"]}, ["what.name"]),
        ("add", {"name": "職員\u202e0009", "roles": ["viewer"]}, ["what.name"]),
        ("add", {"name": "<script>", "roles": ["viewer"]}, ["name"]),
        ("add", {"name": "職員０００３", "roles": ["viewer"]}, ["what.name"]),
        ("add", {"name": "職員0009", "roles": []}, ["roles"]),
        ("add", {"name": "職員0009", "roles": ["pilot", "intake"]}, ["roles", "roles"]),
        ("token", {"title": "職員", "scopes": ["read"], "days": 0}, ["scopes", "days"]),
        ("token", {"title": "\u202e", "scopes": [], "days": True}, ["what.title", "what.days"]),
        ("template", {"template": "x", "hash": "y"}, ["what.hash"]),
        ("duty", {"mail": ["a@b.example", "nobody", "x\r\nBcc: a@b.example"]}, ["what.mail[1]", "what.mail[2]"]),
        ("maintenance", {"is_open": 1, "reason": ""}, ["what.is_open", "what.reason"]),
    ],
)
async def test_what_cannot_be_done_is_said_at_once_field_by_field(room, act, what, where):
    before = len(await room.accounts.proposals.all())
    with pytest.raises(InvalidInput) as refused:
        await room.accounts.proposals.propose(admin(ADMIN_1), act, what)
    assert [f.where for f in refused.value.findings] == where
    assert len(str(refused.value)) < 2000
    assert len(await room.accounts.proposals.all()) == before


async def test_proposals_about_nobody_are_refused(room):
    for act in ("remove", "disable", "enable", "reset"):
        with pytest.raises(NotFound, match="職員0099"):
            await room.accounts.proposals.propose(admin(ADMIN_1), act, {"name": "職員0099"})
    for identifier in ("p-20260914T024100-000000", "p-1", "", "\ud800", "x" * 1_000_000):
        with pytest.raises(NotFound):
            await room.accounts.proposals.approve(admin(ADMIN_2), identifier)


async def test_a_hundred_may_wait_and_no_more(room):
    for _ in range(100):
        await room.accounts.proposals.propose(admin(ADMIN_1), "maintenance", WHAT["maintenance"])
    with pytest.raises(Refused, match="too many proposals"):
        await room.accounts.proposals.propose(admin(ADMIN_1), "maintenance", WHAT["maintenance"])


async def test_who_lost_everything_starts_again_with_a_code_of_two_admins(room):
    handed_over = await room.decide("reset", {"name": "職員0003"})
    with pytest.raises(Unauthenticated):
        await room.sign_in("職員0003")
    with pytest.raises(Unauthenticated):
        await room.sign_in("職員0003", code=room.recovery["職員0003"][0])
    await room.enrol("職員0003", handed_over)
    assert await room.sign_in("職員0003")


async def test_at_the_machine_there_is_a_way_back_and_the_chain_says_so(room):
    session = await room.sign_in(ADMIN_1)
    enrolling, enrolled = await room.accounts.at_machine.new_app(ADMIN_1)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)
    room.secrets[ADMIN_1] = enrolling.secret
    await room.accounts.at_machine.new_password(ADMIN_1, "新しい合言葉は もっと長い")
    assert await room.sign_in(ADMIN_1, "新しい合言葉は もっと長い")
    assert await room.sign_in(ADMIN_1, "新しい合言葉は もっと長い", enrolled.recovery_codes[0])
    said = {name: facts["by"] for name, facts in await room.events() if name.endswith("_replaced")}
    assert set(said) == {"account.app_replaced", "account.password_replaced"}
    assert all("operator" in by for by in said.values())
    with pytest.raises(InvalidInput):
        await room.accounts.at_machine.new_password(ADMIN_1, "短い")


# -- tokens ------------------------------------------------------------------------------------------------------------


async def test_a_token_opens_what_its_scopes_and_its_owners_roles_both_allow(dsn):
    async with room_at(dsn) as room:
        session = await room.sign_in(ADMIN_1)
        token = await room.accounts.own.new_token(session, "端末の鍵", ["read", "approve"], 30)
        bearer = await room.accounts.bearer(token)
        assert (bearer.person.name, bearer.scopes, bearer.title) == (ADMIN_1, {"read", "approve"}, "端末の鍵")
        bearer.require("read")
        with pytest.raises(Refused, match="write"):
            bearer.require("write")
        assert token not in str([*await room.ledger.records("token"), *await room.events()])
        room.clock.advance(30 * 86400)
        with pytest.raises(Unauthenticated):
            await room.accounts.bearer(token)
        assert await room.accounts.tokens.all() == []
        assert await room.ledger.verify() == []


async def test_a_browser_left_open_gives_out_no_token(room):
    session = await room.sign_in("職員0003")
    room.clock.advance(121)
    with pytest.raises(Refused, match="二つ目の確認"):
        await room.accounts.own.new_token(session, "端末", ["read"], 1)


async def test_nobody_gives_a_token_more_than_they_have(room):
    session = await room.sign_in("職員0003")
    for scopes, days in ((["approve"], 1), (["admin"], 1), (["intake"], 1), ([], 1), (["read"], 91), (["fly"], 1)):
        with pytest.raises(InvalidInput):
            await room.accounts.own.new_token(session, "端末", scopes, days)
    for _ in range(20):
        await room.accounts.own.new_token(session, "端末", ["read"], 1)
    with pytest.raises(Refused, match="20本まで"):
        await room.accounts.own.new_token(session, "端末", ["read"], 1)


async def test_a_machines_token_is_given_by_two_admins_and_is_nobodys(room):
    token = await room.decide("token", {"title": "intake-jma", "scopes": ["intake", "metrics"], "days": 400})
    bearer = await room.accounts.bearer(token)
    assert bearer.person == Person("intake-jma", ("intake",))
    assert bearer.scopes == {"intake", "metrics"}
    metrics = await room.decide("token", {"title": "prometheus", "scopes": ["metrics"], "days": 1})
    assert (await room.accounts.bearer(metrics)).person.roles == ()
    for by in ((await room.accounts.bearer(metrics)).person, bearer.person, admin(ADMIN_1)):
        mine = next(t for t in await room.accounts.tokens.all() if by.name in {t.title, ADMIN_1} and not t.replaced_by)
        assert await room.accounts.bearer(await room.accounts.tokens.rotate(by, mine.id))
    another = next(t for t in await room.accounts.tokens.all() if t.title == "prometheus" and not t.replaced_by)
    for by in (bearer.person, Person("prometheus", ("viewer",))):
        with pytest.raises(Refused, match="ほかの人の鍵"):
            await room.accounts.tokens.rotate(by, another.id)


async def test_a_token_is_rotated_with_an_overlap(dsn):
    async with room_at(dsn) as room:
        session = await room.sign_in(ADMIN_1)
        old = await room.accounts.own.new_token(session, "端末の鍵", ["read"], 30)
        ((issued),) = await room.accounts.tokens.all()
        new = await room.accounts.tokens.rotate(session.person, issued.id, overlap_s=600)
        room.clock.advance(599)
        assert (await room.accounts.bearer(old)).scopes == (await room.accounts.bearer(new)).scopes
        assert sorted(bool(t.replaced_by) for t in await room.accounts.tokens.all()) == [False, True]
        with pytest.raises(Refused, match="取り替え済み"):
            await room.accounts.tokens.rotate(session.person, issued.id)
        room.clock.advance(1)
        with pytest.raises(Unauthenticated):
            await room.accounts.bearer(old)
        assert await room.accounts.bearer(new)
        with pytest.raises(InvalidInput):
            await room.accounts.tokens.rotate(session.person, issued.id, overlap_s=float("nan"))


async def test_a_token_is_ended_by_its_owner_or_an_admin(room):
    session = await room.sign_in("職員0003")
    one = await room.accounts.own.new_token(session, "端末", ["read"], 1)
    two = await room.accounts.own.new_token(await room.sign_in(ADMIN_1), "端末の鍵", ["read"], 1)
    ids = {t.owner: t.id for t in await room.accounts.tokens.all()}
    with pytest.raises(Refused, match="ほかの人の鍵"):
        await room.accounts.tokens.revoke(session.person, ids[ADMIN_1])
    with pytest.raises(Refused, match="本人だけ"):
        await room.accounts.tokens.rotate(admin(ADMIN_2), ids[ADMIN_1])
    await room.accounts.tokens.revoke(admin(ADMIN_1), ids["職員0003"])
    with pytest.raises(Unauthenticated):
        await room.accounts.bearer(one)
    assert await room.accounts.bearer(two)
    with pytest.raises(NotFound):
        await room.accounts.tokens.revoke(admin(ADMIN_1), ids["職員0003"])
