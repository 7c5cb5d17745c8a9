"""Coming in with a passkey: real attestation and assertion bytes, and every way in which they can be wrong."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher.clock import ManualClock
from dispatcher.errors import InvalidInput, NotFound, Refused, Throttled, Unauthenticated
from dispatcher.staff.accounts.passkeys import MAX_CHALLENGES, MAX_OF_ONE, Passkeys
from tests.accounts import ADMIN_1, ADMIN_2, HALL, PASSWORD, START, STRANGER, accounts_on, room_at
from tests.servers.authenticator import Authenticator, b64

ORIGIN = "https://console.example.jp"


@pytest.fixture
async def room(tmp_path):
    async with room_at(f"sqlite:///{tmp_path / 'ledger.db'}", origin=ORIGIN) as made:
        yield made


async def registered(room, name=ADMIN_1, **habits):
    """Somebody with a passkey, signed in."""
    session = await room.sign_in(name)
    device = Authenticator(**habits)
    answer = device.create(await room.accounts.own.passkey_options(session), ORIGIN)
    await room.accounts.own.add_passkey(session, answer, "執務室の鍵")
    return device, session


@pytest.mark.parametrize("algorithm", [-7, -8])
async def test_a_passkey_alone_lets_its_owner_in(room, algorithm):
    device, _ = await registered(room, algorithm=algorithm)
    options = room.accounts.passkey_options(HALL)
    assert options["userVerification"] == "required"
    assert options["allowCredentials"] == []
    session = await room.accounts.sign_in_with_passkey(json.dumps(device.get(options, ORIGIN)), HALL, "Firefox")
    assert session.person.name == ADMIN_1
    assert session.is_fresh(room.clock.now())
    assert (await room.accounts.session(session.token)).id == session.id
    ((title, count),) = [(p.title, p.sign_count) for p in await room.accounts.own.passkeys(session)]
    assert (title, count) == ("執務室の鍵", 1)
    assert await room.ledger.verify() == []


async def test_an_answer_opens_once(room):
    device, _ = await registered(room)
    answer = device.get(room.accounts.passkey_options(HALL), ORIGIN)
    await room.accounts.sign_in_with_passkey(answer, HALL, "")
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(answer, HALL, "")


async def test_a_challenge_lives_two_minutes(room):
    device, _ = await registered(room)
    options = room.accounts.passkey_options(HALL)
    room.clock.advance(121)
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(device.get(options, ORIGIN), HALL, "")


@pytest.mark.parametrize(
    "spoilt",
    [
        {"rp_id": "console.example.com"},
        {"type": "webauthn.create"},
        {"challenge": b64(bytes(32))},
        {"user_handle": b64(b"somebody else")},
    ],
)
async def test_what_was_made_for_somebody_or_somewhere_else_is_refused(room, spoilt):
    device, _ = await registered(room)
    answer = device.get(room.accounts.passkey_options(HALL), ORIGIN, **spoilt)
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(answer, HALL, "")
    assert (await room.events())[-1] == ("signin.refused", {"name": ADMIN_1, "how": "passkey", "remote": HALL})


async def test_a_false_site_gets_nothing_that_opens_the_real_one(room):
    device, _ = await registered(room)
    answer = device.get(room.accounts.passkey_options(HALL), "https://c0nsole.example.jp")
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(answer, HALL, "")


async def test_a_device_that_did_not_verify_its_person_is_refused(room):
    session = await room.sign_in(ADMIN_1)
    careless = Authenticator(verifies=False)
    answer = careless.create(await room.accounts.own.passkey_options(session), ORIGIN)
    with pytest.raises(Unauthenticated):
        await room.accounts.own.add_passkey(session, answer)
    device, _ = await registered(room)
    device.verifies = False
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(device.get(room.accounts.passkey_options(HALL), ORIGIN), HALL, "")


async def test_a_copied_key_is_found_by_its_counter(room):
    device, _ = await registered(room)
    twin = copy.copy(device)
    for _ in range(2):
        await room.accounts.sign_in_with_passkey(device.get(room.accounts.passkey_options(HALL), ORIGIN), HALL, "")
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(twin.get(room.accounts.passkey_options(HALL), ORIGIN), HALL, "")


async def test_a_passkey_that_does_not_count_works_all_the_same(room):
    device, _ = await registered(room, counts=False)
    for _ in range(2):
        await room.accounts.sign_in_with_passkey(device.get(room.accounts.passkey_options(HALL), ORIGIN), HALL, "")


async def test_a_disabled_persons_passkey_opens_nothing(room):
    await room.add("職員0003", "originator")
    device, _ = await registered(room, "職員0003")
    await room.decide("disable", {"name": "職員0003"})
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(device.get(room.accounts.passkey_options(HALL), ORIGIN), HALL, "")


async def test_a_passkey_belongs_to_one_person_and_is_registered_by_who_asked(room):
    device, session = await registered(room)
    other = await room.sign_in(ADMIN_2)
    answer = device.create(await room.accounts.own.passkey_options(other), ORIGIN)
    with pytest.raises(Refused, match="登録済み"):
        await room.accounts.own.add_passkey(other, answer)
    mine = Authenticator().create(await room.accounts.own.passkey_options(session), ORIGIN)
    with pytest.raises(Unauthenticated):
        await room.accounts.own.add_passkey(other, mine)
    signing_in = room.accounts.passkey_options(HALL)
    stolen = Authenticator().create(
        {**await room.accounts.own.passkey_options(session), "challenge": signing_in["challenge"]}, ORIGIN
    )
    with pytest.raises(Unauthenticated):
        await room.accounts.own.add_passkey(session, stolen)


async def test_a_lost_device_is_taken_out_and_every_session_with_it(room):
    device, session = await registered(room)
    ((passkey,),) = [await room.accounts.own.passkeys(session)]
    with pytest.raises(NotFound):
        await room.accounts.own.remove_passkey(session, "x")
    await room.accounts.own.remove_passkey(session, passkey.id)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(device.get(room.accounts.passkey_options(HALL), ORIGIN), HALL, "")


async def test_changing_ones_factors_needs_a_fresh_one(room):
    _, session = await registered(room)
    room.clock.advance(121)
    session = await room.accounts.session(session.token)
    for ask in (
        room.accounts.own.passkey_options(session),
        room.accounts.own.new_recovery_codes(session),
        room.accounts.own.change_app(session),
        room.accounts.own.change_password(session, PASSWORD, "新しい合言葉は もっと長い"),
    ):
        with pytest.raises(Refused, match="二つ目の確認"):
            await ask


async def test_a_passkey_breaks_the_glass(room):
    device, session = await registered(room)
    answer = json.dumps(device.get(room.accounts.passkey_options(HALL), ORIGIN))
    assert await room.accounts.is_fresh_factor(session.person, answer)
    assert not await room.accounts.is_fresh_factor(session.person, answer)
    other = await room.sign_in(ADMIN_2)
    answer = json.dumps(device.get(room.accounts.passkey_options(HALL), ORIGIN))
    assert not await room.accounts.is_fresh_factor(other.person, answer)


async def test_guessing_passkeys_is_slowed_by_address_and_harms_no_name(room):
    device, _ = await registered(room)
    for _ in range(21):
        with pytest.raises(Unauthenticated, match="このパスキーでは"):
            await room.accounts.sign_in_with_passkey("{}", STRANGER, "")
    with pytest.raises(Throttled):
        await room.accounts.sign_in_with_passkey("{}", STRANGER, "")
    await room.accounts.sign_in_with_passkey(device.get(room.accounts.passkey_options(HALL), ORIGIN), HALL, "")


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8181", "https://[::1]", "http://console.example.jp", "", "https://192.0.2.1"]
)
async def test_where_browsers_offer_no_passkeys_it_says_so(room, origin):
    accounts = accounts_on(room.ledger, room.clock, origin=origin)
    with pytest.raises(Refused, match="passkeys need https"):
        accounts.passkey_options(HALL)


async def test_a_machine_of_ones_own_is_good_enough_to_try(room):
    assert (
        accounts_on(room.ledger, room.clock, origin="http://localhost:8181/").passkey_options(HALL)["rpId"]
        == "localhost"
    )


async def test_nobody_can_crowd_out_the_others_challenges(room):
    device, _ = await registered(room)
    mine = room.accounts.passkey_options(HALL)
    for n in range(MAX_CHALLENGES + 100):
        room.accounts.passkey_options(f"203.0.113.{n % 200}")
    for _ in range(100):
        room.accounts.passkey_options(STRANGER)
    session = await room.accounts.sign_in_with_passkey(device.get(mine, ORIGIN), HALL, "")
    assert session.person.name == ADMIN_1


def test_open_challenges_are_bounded():
    passkeys = Passkeys(ORIGIN, ManualClock(START))
    for n in range(MAX_CHALLENGES + 100):
        passkeys.asking(f"203.0.{n // 256}.{n % 256}")
    assert len(passkeys._open) == MAX_CHALLENGES
    for _ in range(100):
        passkeys.asking(STRANGER)
    assert sum(entry.whose == STRANGER for entry in passkeys._open.values()) <= MAX_OF_ONE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=40).map(b64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_whatever_is_put_into_a_right_answer_is_refused_without_a_crash(room, data):
    """Each member of a right answer in turn holds something else; what is signed or names the key must then be refused."""
    room.clock.advance(3600)
    ((_, _, account),) = [r for r in await room.ledger.records("account") if r[0] == ADMIN_2]
    if not account["passkeys"]:
        room.device, _ = await registered(room, ADMIN_2)
    answer = room.device.get(room.accounts.passkey_options(HALL), ORIGIN)
    outer = data.draw(st.sampled_from(["id", "rawId", "type", "response"]))
    inner = data.draw(st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]))
    strange = data.draw(JSON)
    if data.draw(st.booleans()):
        answer[outer] = strange
    else:
        answer["response"][inner] = strange
    for form in (answer, json.dumps(answer)):
        with pytest.raises(Unauthenticated):
            await room.accounts.sign_in_with_passkey(form, HALL, "")


@pytest.mark.parametrize("answer", ["", "[]", "{", "[" * 100_000, "null", "{}" * 20_000, '"\\ud800"', '{"id": 1e999}'])
async def test_what_is_no_answer_is_refused(room, answer):
    with pytest.raises(Unauthenticated):
        await room.accounts.sign_in_with_passkey(answer, HALL, "")


async def test_no_more_than_eight_passkeys_each(room):
    _, session = await registered(room)
    for _ in range(7):
        await room.accounts.own.add_passkey(
            session, Authenticator().create(await room.accounts.own.passkey_options(session), ORIGIN), "\x00\u202e"
        )
    titles = [p.title for p in await room.accounts.own.passkeys(session)]
    assert titles == ["執務室の鍵", *(f"パスキー{n}" for n in range(2, 9))]
    with pytest.raises(Refused, match="8個まで"):
        await room.accounts.own.passkey_options(session)


async def test_somebody_new_chooses_a_password_and_proves_the_app(room):
    handed_over = await room.decide("add", {"name": "職員0003", "roles": ["originator"]})
    enrolling = await room.accounts.own.enrolling(handed_over.lower())
    assert enrolling.uri.startswith("otpauth://totp/Todoke%20%E8%A8%93%E7%B7%B4:")
    assert enrolling == await room.accounts.own.enrolling(handed_over)
    with pytest.raises(InvalidInput) as refused:
        await room.accounts.own.enrol(handed_over, "short", "000000")
    assert [f.where for f in refused.value.findings] == ["password", "code"]
    await room.enrol("職員0003", handed_over)
    for again in (room.accounts.own.enrolling(handed_over), room.accounts.own.enrol(handed_over, PASSWORD, "000000")):
        with pytest.raises(Unauthenticated, match="登録コード"):
            await again
    assert (await room.sign_in("職員0003")).person.roles == ("originator",)


async def test_an_enrolment_code_is_good_for_a_day(room):
    handed_over = await room.decide("add", {"name": "職員0003", "roles": ["originator"]})
    room.clock.advance(24 * 3600)
    with pytest.raises(Unauthenticated, match="登録コード"):
        await room.accounts.own.enrolling(handed_over)


async def test_a_new_phone_is_set_up_while_the_old_one_still_opens(room):
    session = await room.sign_in(ADMIN_1)
    code = await room.accounts.own.change_app(session)
    session = await room.sign_in(ADMIN_1)
    await room.enrol(ADMIN_1, code)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)
    assert (await room.sign_in(ADMIN_1)).person.name == ADMIN_1


async def test_changing_the_password_ends_every_session(room):
    session = await room.sign_in(ADMIN_1)
    with pytest.raises(Unauthenticated, match="今のパスワード"):
        await room.accounts.own.change_password(session, "ちがうパスワードです", "新しい合言葉は もっと長い")
    with pytest.raises(InvalidInput):
        await room.accounts.own.change_password(session, PASSWORD, "短い")
    await room.accounts.own.change_password(session, PASSWORD, "新しい合言葉は もっと長い")
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)
    with pytest.raises(Unauthenticated):
        await room.sign_in(ADMIN_1)
    assert await room.sign_in(ADMIN_1, "新しい合言葉は もっと長い")


async def test_new_recovery_codes_end_the_old(room):
    session = await room.sign_in(ADMIN_1)
    codes = await room.accounts.own.new_recovery_codes(session)
    with pytest.raises(Unauthenticated):
        await room.sign_in(ADMIN_1, code=room.recovery[ADMIN_1][0])
    assert await room.sign_in(ADMIN_1, code=codes[0])
