"""Coming in with a name, a password and a code: who is let in, who is not, and what nobody learns from it."""

import asyncio
import threading
from datetime import timedelta

import pytest

from config.secret import Secret
from dispatcher.errors import InvalidInput, Refused, Throttled, Unauthenticated
from dispatcher.ledger import Event
from dispatcher.ledgers.rehearsal import Rehearsal
from dispatcher.staff.accounts import passwords, sessions
from dispatcher.staff.accounts.names import key_of, named
from dispatcher.staff.accounts.passwords import Passwords
from dispatcher.staff.accounts.throttle import place_of, wait_s
from dispatcher.staff.sessions import Person, new_token
from tests.accounts import ADMIN_1, ADMIN_2, HALL, PASSWORD, QUICK, STRANGER, accounts_on, admin, room_at
from tests.contracts.ledger_contract import until

ENGINES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture
async def room(tmp_path):
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}") as made:
        yield made


@pytest.fixture(params=ENGINES)
def dsn(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return request.getfixturevalue("postgres").database()


async def test_who_knows_the_password_and_has_the_app_is_let_in(dsn):
    async with room_at(dsn) as room:
        session = await room.sign_in(ADMIN_1)
        again = await room.accounts.session(session.token)
        assert again == session
        assert again.person == Person(ADMIN_1, ("admin", "approver"))
        assert (again.remote, again.agent) == (HALL, "Firefox")
        assert again.second_factor_at == again.signed_in_at == room.clock.now()
        assert len(session.token) == 43
        assert session.token not in repr(session)
        assert await room.ledger.verify() == []


async def test_what_the_ledger_keeps_opens_nothing(room):
    session = await room.sign_in(ADMIN_1)
    kept = str([*await room.ledger.records("session"), *await room.events()])
    assert session.token not in kept
    assert session.id in kept
    for _, facts in await room.events():
        assert not {"password", "token_hash", "secret", "code"} & facts.keys()
    accounts = str(await room.ledger.records("account"))
    assert PASSWORD not in accounts
    assert "$argon2id$" in accounts
    assert not any(code.replace("-", "") in accounts for code in room.recovery[ADMIN_1])


async def test_a_copy_of_the_ledger_opens_nobodys_app(tmp_path):
    key, other = Secret("そらいろの かさ"), Secret("ちがう かさ")
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}", key=key) as room:
        handed_over = await room.decide("add", {"name": "職員0003", "roles": ["viewer"]})
        secrets = [room.secrets[ADMIN_1], (await room.accounts.own.enrolling(handed_over)).secret]
        kept = str(await room.ledger.records("account"))
        assert kept.count("sealed-1:") == 3
        assert not any(secret in kept for secret in secrets)
        assert await room.sign_in(ADMIN_1)
        for wrong in (other, None):
            with pytest.raises(Refused, match="accounts_key"):
                await accounts_on(room.ledger, room.clock, key=wrong).sign_in(ADMIN_1, PASSWORD, "000000", HALL, "")
        version, body = await room.ledger.read_record("account", ADMIN_2)
        _, mine = await room.ledger.read_record("account", ADMIN_1)
        moved = {**body, "totp_secret": mine["totp_secret"]}
        await room.ledger.save_record("account", ADMIN_2, version, moved, Event("account.moved", ""))
        with pytest.raises(Refused, match="accounts_key"):
            await room.accounts.sign_in(ADMIN_2, PASSWORD, room.next_code(ADMIN_1), HALL, "")


async def test_a_key_may_be_set_later(room):
    sealed = accounts_on(room.ledger, room.clock, key=Secret("そらいろの かさ"))
    assert await sealed.sign_in(ADMIN_1, PASSWORD, room.next_code(ADMIN_1), HALL, "")
    assert str(await room.ledger.read_record("account", ADMIN_1)).count("sealed-1:") == 1
    assert await sealed.sign_in(ADMIN_1, PASSWORD, room.next_code(ADMIN_1), HALL, "")


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [
        (ADMIN_1, "ちがうパスワードです", None),
        (ADMIN_1, PASSWORD, "000000"),
        (ADMIN_1, PASSWORD, ""),
        (ADMIN_1, "", None),
        ("職員9999", PASSWORD, "000000"),
        ("", "", ""),
        ("\x00", "\x00", "\x00"),
        ("職員0001\u202e", PASSWORD, None),
        ("\ud800", "\ud800", "\ud800"),
        ("あ" * 1_000_000, PASSWORD, "1" * 1_000_000),
    ],
)
async def test_every_refusal_says_the_same(room, name, password, code):
    code = room.next_code(ADMIN_1) if code is None else code
    with pytest.raises(Unauthenticated) as refused:
        await room.accounts.sign_in(name, password, code, STRANGER, "curl")
    assert str(refused.value) == (
        "名前、パスワード、確認コードのどれかが違います (the name, the password or the code is wrong)"
    )
    written, facts = (await room.events())[-1]
    assert written == "signin.refused"
    assert facts == {"name": ADMIN_1 if name == ADMIN_1 else "", "how": "password", "remote": STRANGER}


async def test_ten_megabytes_of_password_cost_nothing(room):
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in(ADMIN_1, "a" * 10_000_000, "000000", HALL, "x" * 1_000_000)


async def test_what_a_browser_says_of_itself_is_kept_legible(room):
    code = room.next_code(ADMIN_1)
    session = await room.accounts.sign_in(ADMIN_1, PASSWORD, code, "\udcff\x1b[2J", "Fire\udcff\x00fox" + "x" * 10_000)
    again = await room.accounts.session(session.token)
    assert (again.remote, again.agent[:7], len(again.agent)) == ("[2J", "Firefox", 198)


async def test_a_name_that_nobody_has_costs_the_same_work(room):
    """The work is counted, not timed: one argon2 computation whatever is wrong."""
    checking = Passwords(QUICK)
    accounts = accounts_on(room.ledger, room.clock, passwords=checking)
    await room.add("職員0003", "viewer")
    await room.decide("disable", {"name": "職員0003"})
    done = []
    for name, password in [
        (ADMIN_1, "ちがうパスワードです"),
        ("職員9999", PASSWORD),
        ("職員0003", PASSWORD),
        ("", "x" * 9000),
    ]:
        with pytest.raises(Unauthenticated):
            await accounts.sign_in(name, password, "000000", STRANGER, "")
        done.append(checking.computed)
    assert done == [1, 2, 3, 4]


async def test_a_code_is_taken_once(room):
    code = room.next_code(ADMIN_1)
    await room.sign_in(ADMIN_1, code=code)
    with pytest.raises(Unauthenticated):
        await room.sign_in(ADMIN_1, code=code)


async def test_of_two_who_come_with_one_code_at_once_one_is_let_in(dsn):
    async with room_at(dsn) as room:
        code = room.next_code(ADMIN_1)

        async def come():
            try:
                return await room.sign_in(ADMIN_1, code=code)
            except Unauthenticated:
                return None

        async with asyncio.TaskGroup() as tasks:
            came = [tasks.create_task(come()) for _ in range(3)]
        assert sum(task.result() is not None for task in came) == 1


async def test_a_code_of_the_step_before_or_after_is_taken_and_no_other(room):
    room.clock.advance(300)
    code = room.code(ADMIN_1)
    room.clock.advance(30)
    await room.sign_in(ADMIN_1, code=f" {code[:3]} {code[3:]}")
    old = room.next_code(ADMIN_1)
    room.clock.advance(90)
    with pytest.raises(Unauthenticated):
        await room.sign_in(ADMIN_1, code=old)


async def test_a_recovery_code_opens_once(room):
    code = room.recovery[ADMIN_1][0]
    await room.sign_in(ADMIN_1, code=code.lower().replace("-", " "))
    with pytest.raises(Unauthenticated):
        await room.sign_in(ADMIN_1, code=code)
    listed = {each.name: each.recovery_codes for each in await room.accounts.people()}
    assert listed == {ADMIN_1: 9, ADMIN_2: 10}


async def test_full_width_is_the_same_name_and_the_same_code(room):
    code = room.next_code(ADMIN_1).translate({ord(str(d)): chr(0xFF10 + d) for d in range(10)})
    session = await room.sign_in("職員０００１", code=code)
    assert session.person.name == ADMIN_1


async def test_what_was_kept_with_less_work_is_kept_anew_at_the_next_sign_in(tmp_path):
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}") as room:
        stronger = Passwords()
        room.accounts = accounts_on(room.ledger, room.clock, passwords=stronger)
        assert "m=64," in str(await room.ledger.read_record("account", ADMIN_1))
        await room.sign_in(ADMIN_1)
        _, body = await room.ledger.read_record("account", ADMIN_1)
        assert body["password"].startswith("$argon2id$v=19$m=65536,t=3,p=4$")
        await room.sign_in(ADMIN_1)


async def test_a_flood_of_passwords_waits_or_is_turned_away():
    checking = Passwords(QUICK)
    came = passwords.AT_ONCE + passwords.MAX_WAITING + 10

    async def come():
        try:
            return await checking.is_right("x" * 20, None)
        except Throttled as error:
            return error

    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(come()) for _ in range(came)]
    turned_away = [a.result() for a in answers if isinstance(a.result(), Throttled)]
    assert len(turned_away) == 10
    assert turned_away[0].http_status == 429
    assert await checking.is_right("x" * 20, await checking.keep("x" * 20))


async def test_who_was_turned_away_in_a_flood_is_not_taken_for_a_guesser(room):
    checking, go_on = Passwords(QUICK), threading.Event()
    accounts = accounts_on(room.ledger, room.clock, passwords=checking)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(passwords.AT_ONCE):
            checking._threads.submit(go_on.wait)
        flood = [
            tasks.create_task(checking.is_right("x" * 20, None))
            for _ in range(passwords.AT_ONCE + passwords.MAX_WAITING)
        ]
        await until(lambda: checking.computed == len(flood))
        for _ in range(10):
            with pytest.raises(Throttled, match="5秒"):
                await accounts.sign_in(ADMIN_1, PASSWORD, "000000", STRANGER, "")
        go_on.set()
    assert await accounts.sign_in(ADMIN_1, PASSWORD, room.next_code(ADMIN_1), STRANGER, "")


# -- the throttle ------------------------------------------------------------------------------------------------------


def test_waiting_doubles_up_to_a_quarter_of_an_hour():
    assert [wait_s(n, 3) for n in range(7)] == [0, 0, 0, 0, 1, 2, 4]
    assert wait_s(13, 3) == 512
    assert wait_s(14, 3) == wait_s(10_000, 3) == 900


@pytest.mark.parametrize("name", [ADMIN_1, "職員9999"])
async def test_wrong_answers_are_slowed_the_same_whether_the_name_exists(dsn, name):
    async with room_at(dsn) as room:
        waited = []
        for n in range(8):
            try:
                await room.accounts.sign_in(name, "ちがうパスワードです", "000000", f"198.51.100.{n}", "")
            except Throttled as error:
                waited.append((n, error.retry_after_s))
            except Unauthenticated:
                continue
        assert waited == [(4, 1.0), (5, 1.0), (6, 1.0), (7, 1.0)]
        room.clock.advance(1)
        with pytest.raises(Unauthenticated, match="どれか"):
            await room.accounts.sign_in(name, "ちがうパスワードです", "000000", STRANGER, "")
        with pytest.raises(Throttled, match="2秒"):
            await room.accounts.sign_in(name, PASSWORD, "000000", STRANGER, "")


async def test_a_restart_does_not_forget_who_guessed(dsn):
    async with room_at(dsn) as room:
        for _ in range(4):
            with pytest.raises(Unauthenticated):
                await room.accounts.sign_in(ADMIN_1, "ちがうパスワードです", "000000", STRANGER, "")
        anew = accounts_on(room.ledger, room.clock)
        with pytest.raises(Throttled):
            await anew.sign_in(ADMIN_1, PASSWORD, room.code(ADMIN_1), STRANGER, "")


async def test_a_hundred_guesses_at_once_count_as_a_hundred(dsn):
    async with room_at(dsn) as room:
        looked_at = 0

        async def guess(n):
            nonlocal looked_at
            try:
                await room.accounts.sign_in(ADMIN_1, "ちがうパスワードです", f"{n:06d}", STRANGER, "")
            except Throttled:
                return
            except Unauthenticated:
                looked_at += 1

        async with asyncio.TaskGroup() as tasks:
            for n in range(30):
                tasks.create_task(guess(n))
        assert looked_at <= 4


async def test_strangers_cannot_lock_an_officer_out_of_headquarters(room):
    await room.sign_in(ADMIN_1, remote=HALL)
    for n in range(10):
        with pytest.raises(Unauthenticated):
            await room.accounts.sign_in(ADMIN_1, "ちがうパスワードです", "000000", f"203.0.113.{n}", "")
    with pytest.raises(Throttled):
        await room.accounts.sign_in(ADMIN_1, PASSWORD, room.code(ADMIN_1), STRANGER, "")
    room.clock.advance(0.5)
    session = await room.accounts.sign_in(ADMIN_1, PASSWORD, room.recovery[ADMIN_1][0], HALL, "")
    assert session.person.name == ADMIN_1


async def test_an_address_that_guesses_at_many_names_is_slowed(room):
    seen = []
    for n in range(22):
        try:
            await room.accounts.sign_in(f"住民{n:04d}", "ちがうパスワードです", "000000", STRANGER, "")
        except Throttled:
            seen.append(n)
        except Unauthenticated:
            continue
    assert seen == [21]
    await room.sign_in(ADMIN_1, remote=HALL)


async def test_a_right_answer_begins_the_count_anew_and_so_does_an_hour(room):
    for _ in range(3):
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                await room.sign_in(ADMIN_1, "ちがうパスワードです", "000000")
        await room.sign_in(ADMIN_1)
    for _ in range(4):
        with pytest.raises(Unauthenticated):
            await room.sign_in(ADMIN_1, "ちがうパスワードです", "000000")
    room.clock.advance(2 * 3600)
    with pytest.raises(Unauthenticated, match="どれか"):
        await room.sign_in(ADMIN_1, "ちがうパスワードです", "000000")


async def test_guesses_at_endless_names_do_not_grow_the_ledger_without_bound(room):
    for n in range(20):
        with pytest.raises(Unauthenticated):
            await room.accounts.sign_in(f"x{n}", "ちがうパスワードです", "000000", f"198.51.100.{n}", "")
    keys = [key for key, _, _ in await room.ledger.records("throttle")]
    assert all(len(key.rpartition("-")[2]) == 4 for key in keys), "65,536 buckets of a kind, and no more"


def test_an_ipv6_site_is_one_address():
    assert place_of("2001:db8:1:2::1") == place_of("2001:db8:1:2:ffff::9%eth0")
    assert place_of("2001:db8:1:2::1") != place_of("2001:db8:1:3::1")
    assert len(place_of("\ud800" * 1_000_000)) == 32


# -- sessions ----------------------------------------------------------------------------------------------------------


async def test_a_session_ends_after_half_an_hour_without_its_person(dsn):
    async with room_at(dsn) as room:
        session = await room.sign_in(ADMIN_1)
        room.clock.advance(sessions.IDLE.total_seconds() - 1)
        await room.accounts.session(session.token)
        room.clock.advance(sessions.IDLE.total_seconds() - 1)
        await room.accounts.session(session.token)
        room.clock.advance(sessions.IDLE.total_seconds())
        for _ in range(2):
            with pytest.raises(Unauthenticated, match="サインインが終わっています"):
                await room.accounts.session(session.token)


async def test_a_session_ends_after_six_hours_whatever_its_person_does(room):
    session = await room.sign_in(ADMIN_1)
    for _ in range(6 * 4 - 1):
        room.clock.advance(15 * 60)
        await room.accounts.session(session.token)
    room.clock.advance(15 * 60)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)


async def test_a_page_that_asks_on_its_own_keeps_nobody_signed_in(room):
    session = await room.sign_in(ADMIN_1)
    for _ in range(29):
        room.clock.advance(60)
        await room.accounts.session(session.token, is_person=False)
    room.clock.advance(60)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)


async def test_being_seen_is_written_once_a_minute_and_is_no_event(room):
    session = await room.sign_in(ADMIN_1)
    before = len(await room.events())
    versions = []
    for _ in range(4):
        room.clock.advance(20)
        await room.accounts.session(session.token)
        versions.append((await room.ledger.read_record("session", session.id))[0])
    assert versions == [1, 1, 2, 2]
    assert len(await room.events()) == before


async def test_a_cookie_replayed_after_sign_out_opens_nothing(dsn):
    async with room_at(dsn) as room:
        session = await room.sign_in(ADMIN_1)
        await room.accounts.sign_out(session.token)
        with pytest.raises(Unauthenticated):
            await room.accounts.session(session.token)
        await room.accounts.sign_out(session.token)
        assert (await room.events())[-1][0] == "session.closed"


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "\ud800" * 43, "a" * 10_000_000, "../../etc/passwd", "\x00"])
async def test_a_guessed_cookie_opens_nothing(room, token):
    with pytest.raises(Unauthenticated):
        await room.accounts.session(token)


async def test_each_sign_in_has_a_token_and_a_seal_of_its_own(room):
    one, two = await room.sign_in(ADMIN_1), await room.sign_in(ADMIN_1)
    assert one.token != two.token
    assert one.csrf != two.csrf
    assert (await room.accounts.session(one.token)).csrf == one.csrf
    assert one.token not in one.csrf


async def test_sessions_are_listed_and_ended_by_their_owner_or_an_admin(room):
    await room.add("職員0003", "originator")
    mine, other = await room.sign_in("職員0003"), await room.sign_in(ADMIN_1)
    officer = mine.person
    assert [s.id for s in await room.accounts.sessions(officer)] == [mine.id]
    assert {s.id for s in await room.accounts.sessions(admin(ADMIN_1))} == {mine.id, other.id}
    assert all(s.token == "" == s.csrf for s in await room.accounts.sessions(admin(ADMIN_1)))
    with pytest.raises(Refused, match="セッションはありません"):
        await room.accounts.revoke(officer, other.id)
    await room.accounts.revoke(admin(ADMIN_1), mine.id)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(mine.token)


async def test_one_person_has_sixteen_sessions_at_most(room):
    opened = [await room.sign_in(ADMIN_1) for _ in range(18)]
    living = {s.id for s in await room.accounts.sessions(Person(ADMIN_1, ()))}
    assert living == {s.id for s in opened[2:]}


@pytest.mark.parametrize(
    ("act", "more"),
    [("disable", {}), ("remove", {}), ("reset", {}), ("roles", {"roles": ["viewer"]})],
)
async def test_sessions_and_tokens_end_when_the_account_changes(room, act, more):
    await room.add("職員0003", "originator")
    session = await room.sign_in("職員0003")
    token = await room.accounts.own.new_token(session, "端末", ["read"], 1)
    assert (await room.accounts.bearer(token)).person.name == "職員0003"
    await room.decide(act, {"name": "職員0003", **more})
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)
    with pytest.raises(Unauthenticated):
        await room.accounts.bearer(token)


async def test_a_disabled_person_is_refused_like_a_stranger_until_two_admins_say_otherwise(room):
    await room.add("職員0003", "originator")
    await room.decide("disable", {"name": "職員0003"})
    with pytest.raises(Unauthenticated, match="どれか"):
        await room.sign_in("職員0003")
    await room.decide("enable", {"name": "職員0003"})
    assert (await room.sign_in("職員0003")).person.roles == ("originator",)


# -- the second factor, again ------------------------------------------------------------------------------------------


async def test_a_fresh_factor_counts_for_two_minutes(room):
    session = await room.sign_in(ADMIN_1)
    room.clock.advance(121)
    assert not (await room.accounts.session(session.token)).is_fresh(room.clock.now())
    await room.accounts.refresh(session, room.code(ADMIN_1))
    again = await room.accounts.session(session.token)
    assert again.is_fresh(room.clock.now() + timedelta(minutes=2))
    assert not again.is_fresh(room.clock.now() + timedelta(minutes=2, seconds=1))


async def test_a_code_used_to_come_in_does_not_break_the_glass(room):
    code = room.next_code(ADMIN_1)
    session = await room.sign_in(ADMIN_1, code=code)
    with pytest.raises(Unauthenticated, match="もう使われています"):
        await room.accounts.fresh_factor(session.person, code)
    await room.accounts.fresh_factor(session.person, room.next_code(ADMIN_1))
    assert not await room.accounts.is_fresh_factor(session.person, room.code(ADMIN_1))
    assert not await room.accounts.is_fresh_factor(Person("職員9999", ("approver",)), "000000")


async def test_guessing_at_codes_is_slowed_too(room):
    for _ in range(4):
        assert not await room.accounts.is_fresh_factor(admin(ADMIN_1), "000000")
    with pytest.raises(Throttled):
        await room.accounts.fresh_factor(admin(ADMIN_1), room.code(ADMIN_1))


async def test_a_rehearsal_is_no_place_to_guess_at_codes(room):
    before = len(await room.events())
    rehearsing = room.accounts.over(Rehearsal(room.ledger))
    code = room.next_code(ADMIN_1)
    assert await rehearsing.is_fresh_factor(admin(ADMIN_1), code)
    for _ in range(4):
        assert not await room.accounts.over(Rehearsal(room.ledger)).is_fresh_factor(admin(ADMIN_1), "000000")
    with pytest.raises(Throttled):
        await room.accounts.over(Rehearsal(room.ledger)).is_fresh_factor(admin(ADMIN_1), code)
    room.clock.advance(1)
    assert len(await room.events()) == before
    assert await room.accounts.is_fresh_factor(admin(ADMIN_1), code), "a rehearsal burns nothing"


# -- modes, names, founding --------------------------------------------------------------------------------------------


async def test_a_trainee_is_nobody_at_a_live_node(tmp_path):
    path = tmp_path / "ledger.db"
    async with room_at(f"sqlite:///{path}") as room:
        await room.add("職員0003", "trainee")
        session = await room.sign_in("職員0003")
        token = await room.accounts.own.new_token(session, "端末", ["write"], 1)
        live = accounts_on(room.ledger, room.clock, "live", site_people=[])
        for ask in (live.session(session.token), live.bearer(token)):
            with pytest.raises(Refused, match="訓練生"):
                await ask
        with pytest.raises(Refused, match="訓練生"):
            await live.sign_in("職員0003", PASSWORD, room.next_code("職員0003"), HALL, "")
        with pytest.raises(InvalidInput, match="訓練の節点にだけ"):
            await live.proposals.propose(admin(ADMIN_1), "add", {"name": "職員0004", "roles": ["trainee"]})
        with pytest.raises(InvalidInput, match="訓練の節点にだけ"):
            await live.proposals.propose(admin(ADMIN_1), "roles", {"name": ADMIN_2, "roles": ["trainee", "admin"]})
        refused = [facts for name, facts in await room.events() if name == "signin.refused"]
        assert [(f["name"], f["how"], f["because"]) for f in refused] == [
            ("職員0003", how, "trainee") for how in ("session", "token", "password")
        ]


async def test_the_first_two_are_founded_and_the_third_is_not(dsn):
    async with room_at(dsn, founders=0) as room:
        assert not await room.accounts.at_machine.is_founded()
        with pytest.raises(InvalidInput) as refused:
            await room.accounts.at_machine.found("a\u202eb", ["pilot"], "short")
        assert [f.where for f in refused.value.findings] == ["roles", "name", "roles", "password"]
        assert "short" not in str(refused.value)
        await room.found(ADMIN_1)
        with pytest.raises(InvalidInput, match="もう登録"):
            await room.accounts.at_machine.found("職員０００１", ["admin"], PASSWORD)
        await room.found(ADMIN_2)
        with pytest.raises(Refused, match="管理者が2人います"):
            await room.accounts.at_machine.found("職員0003", ["admin"], PASSWORD)
        founded = [facts for name, facts in await room.events() if name == "account.founded"]
        assert [f["name"] for f in founded] == [ADMIN_1, ADMIN_2]
        assert "operator" in founded[0]["by"]


@pytest.mark.parametrize(
    "name",
    ["", "   ", "\x00", "職員\u202e0001", "a\u200bb", "\u3164", "<b>", "a\nb", "あ" * 41, "\ud800", "・・", "💧"],
)
def test_a_name_that_people_cannot_read_is_refused(name):
    with pytest.raises(InvalidInput) as refused:
        named(name)
    assert all(f.where == "name" for f in refused.value.findings)


def test_names_that_merely_look_different_are_one():
    assert key_of("職員Ａ") == key_of("職員a") == key_of(" 職員A ")
    assert named("大沢　職員")[0] == "大沢 職員"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("みじかい", "12文字から"),
        ("あ" * 12, "繰り返し"),
        ("a" * 10_000_000, "256文字"),
        ("職員0001のパスワード", "名前"),
        ("my-password-2026", "よくある"),
        ("野川の水位は\x00毎朝7時に見る", "制御文字"),
    ],
)
async def test_a_weak_password_is_refused_with_the_reason(tmp_path, password, reason):
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}", founders=0) as room:
        with pytest.raises(InvalidInput, match=reason):
            await room.accounts.at_machine.found(ADMIN_1, ["admin"], password)


async def test_the_people_of_the_site_file_come_with_their_tokens(tmp_path):
    token, kept = new_token()
    people = [Person("当直A", ("originator",), kept), Person("当直B", ("trainee",), new_token()[1])]
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}", site_people=people) as room:
        bearer = await room.accounts.bearer(token)
        assert bearer.person.name == "当直A"
        assert bearer.scopes == {"read", "write"}
        assert {each.name: each.state for each in await room.accounts.people()} == {
            ADMIN_1: "active",
            ADMIN_2: "active",
            "当直A": "site",
            "当直B": "site",
        }
        for wrong in ("", "todoke_", "\ud800" * 40, token + "x", "a" * 1_000_000):
            with pytest.raises(Unauthenticated):
                await room.accounts.bearer(wrong)
