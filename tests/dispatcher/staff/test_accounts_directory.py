"""Coming in through the city's directory, against a real provider on loopback."""

from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from config.binding import bind
from config.directory import Directory
from config.document import ConfigError, read
from config.secret import Secret
from dispatcher.errors import Refused, Unauthenticated
from dispatcher.staff.accounts.oidc import MAX_ANSWER_BYTES, Issuer, _derived
from dispatcher.staff.sessions import Person
from tests.accounts import ADMIN_1, HALL, accounts_on, room_at
from tests.servers.oidc_provider import CLIENT, REDIRECT, SECRET, Provider, providing

OFFICER = {"preferred_username": "職員0021", "groups": ["bosai-shonin", "all-staff"], "amr": ["pwd", "otp"]}
SETTINGS = {
    "client_id": CLIENT,
    "client_secret": Secret(SECRET),
    "redirect_url": REDIRECT,
    "roles": {"bosai-kian": ("originator",), "bosai-shonin": ("approver",), "kunren": ("trainee",)},
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory):
    """One ledger for all: what comes from the directory leaves nothing in it but sessions."""
    async with room_at(f"sqlite:///{tmp_path_factory.mktemp('room') / 'ledger.db'}") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def provider(room):
    async with providing(room.clock) as running:
        running.who = dict(OFFICER)
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def issuer(room, provider):
    async with Issuer(Directory(issuer=provider.url, **SETTINGS), room.clock) as opened:
        yield opened


async def come(issuer, provider, **changed):
    leaving = await issuer.begin()
    return await issuer.finish({**provider.visit(leaving.url), **changed}, leaving.cookie)


async def test_whom_the_directory_vouches_for_gets_a_session(room, issuer, provider):
    person = await come(issuer, provider)
    assert person == Person("職員0021", ("approver",))
    session = await room.accounts.sign_in_from_directory(person, HALL, "Firefox")
    assert (await room.accounts.session(session.token)).person == person
    assert session.second_factor_at is None, "given at the directory, not here: it does not break the glass"
    room.clock.advance(30 * 60)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)


async def test_a_session_of_the_directory_can_be_listed_and_ended(room, issuer, provider):
    session = await room.accounts.sign_in_from_directory(await come(issuer, provider), HALL, "")
    assert [s.person.name for s in await room.accounts.sessions(session.person)] == ["職員0021"]
    await room.accounts.sign_out(session.token)
    with pytest.raises(Unauthenticated):
        await room.accounts.session(session.token)
    with pytest.raises(Refused, match="市の認証基盤で変えて"):
        await room.accounts.own.new_recovery_codes(session)


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "x" * 43},
        {"state": ""},
        {"state": "\ud800"},
        {"iss": "http://127.0.0.1:1"},
        {"code": ""},
        {"code": "guessed"},
        {"code": "\ud800" * 100_000},
        {"error": "access_denied"},
    ],
)
async def test_an_answer_that_is_not_to_this_question_is_refused(issuer, provider, changed):
    with pytest.raises(Unauthenticated):
        await come(issuer, provider, **changed)


async def test_an_answer_begun_in_another_browser_is_worth_nothing(issuer, provider):
    mine, theirs = await issuer.begin(), await issuer.begin()
    for cookie in (theirs.cookie, "", "x", "\ud800" * 43):
        with pytest.raises(Unauthenticated):
            await issuer.finish(provider.visit(mine.url), cookie)
    back = provider.visit(mine.url)
    forged = {**back, "state": provider.visit(theirs.url)["state"]}
    with pytest.raises(Unauthenticated):
        await issuer.finish(forged, theirs.cookie)


async def test_an_answer_without_the_cookie_cannot_be_made_up(issuer, provider):
    """What an empty cookie would derive is known to everybody."""
    back = provider.visit((await issuer.begin()).url)
    with pytest.raises(Unauthenticated):
        await issuer.finish({**back, "state": _derived("", "state")}, "")


async def test_a_code_is_worth_something_once(issuer, provider):
    leaving = await issuer.begin()
    back = provider.visit(leaving.url)
    await issuer.finish(back, leaving.cookie)
    with pytest.raises(Unauthenticated):
        await issuer.finish(back, leaving.cookie)


async def test_an_issuer_that_names_itself_must_do_so_each_time(issuer, provider):
    leaving = await issuer.begin()
    back = provider.visit(leaving.url)
    del back["iss"]
    with pytest.raises(Unauthenticated):
        await issuer.finish(back, leaving.cookie)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"iss": "https://sso.example.jp"},
        {"aud": "another"},
        {"aud": ["another", CLIENT]},
        {"aud": ["another", CLIENT], "azp": "another"},
        {"azp": "another"},
        {"nonce": "x" * 43},
        {"nonce": None},
        {"nonce": 1},
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": float("nan")},
        {"iat": 1},
        {"iat": 9_999_999_999},
        {"sub": None},
        {"nbf": 9_999_999_999},
    ],
)
async def test_a_token_that_claims_something_else_is_refused(issuer, provider, spoilt):
    provider.spoil = spoilt
    with pytest.raises(Unauthenticated):
        await come(issuer, provider)
    provider.spoil = {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert await come(issuer, provider)


@pytest.mark.parametrize("forge", [Provider.unsigned, Provider.shared, Provider.strangers])
async def test_a_forged_token_is_refused(issuer, provider, forge):
    provider.forge = forge
    with pytest.raises(Unauthenticated):
        await come(issuer, provider)


@pytest.mark.parametrize("token", ["", "a.b.c", "....", "x" * 300_000, None, 1, {"a": 1}])
async def test_what_is_no_token_is_refused(issuer, provider, token):
    provider.forge = lambda _self, _claims: token
    with pytest.raises(Refused):
        await come(issuer, provider)


async def test_the_issuers_new_keys_are_found_and_it_is_not_asked_without_end(room, issuer, provider):
    await come(issuer, provider)
    provider.change_keys()
    room.clock.advance(61)
    assert await come(issuer, provider)
    asked = provider.asked.count("/keys")
    provider.forge = Provider.strangers
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await come(issuer, provider)
    assert provider.asked.count("/keys") == asked
    assert provider.asked.count("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"amr": ["pwd"]}, "多要素認証"),
        ({"amr": None}, "多要素認証"),
        ({"amr": "mfa"}, "多要素認証"),
        ({"groups": ["all-staff"]}, "役割がありません"),
        ({"groups": None}, "役割がありません"),
        ({"groups": [1, {}, []]}, "役割がありません"),
        ({"preferred_username": None}, "名前が使えません"),
        ({"preferred_username": "職員\u202e0001"}, "名前が使えません"),
        ({"preferred_username": ["a"]}, "名前が使えません"),
    ],
)
async def test_who_lacks_a_factor_a_role_or_a_name_does_not_come_in(issuer, provider, who, said):
    provider.who |= who
    with pytest.raises(Refused, match=said):
        await come(issuer, provider)


async def test_a_name_that_has_an_account_here_has_one_way_in(room, issuer, provider):
    provider.who |= {"preferred_username": "職員０００１"}
    person = await come(issuer, provider)
    with pytest.raises(Refused, match="has an account here"):
        await room.accounts.sign_in_from_directory(person, HALL, "")
    assert ADMIN_1 not in {s.person.name for s in await room.accounts.sessions(Person("", ("admin",)))}


async def test_a_trainee_of_the_directory_is_nobody_at_a_live_node(room, issuer, provider):
    provider.who |= {"groups": ["kunren"]}
    person = await come(issuer, provider)
    live = accounts_on(room.ledger, room.clock, "live")
    with pytest.raises(Refused, match="訓練生"):
        await live.sign_in_from_directory(person, HALL, "")


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
@pytest.mark.parametrize(
    "fault",
    [
        web.Response(status=500, body=b"<html>"),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.Response(status=200, body=b"[" * 100_000),
        web.Response(status=200, body=b'{"issuer": 1, "keys": 2, "id_token": 3}'),
        web.Response(status=200, body=b"{" + b" " * (2 * MAX_ANSWER_BYTES) + b"}"),
        web.Response(status=200, body=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}),
        web.Response(status=404),
    ],
)
async def test_a_directory_that_is_out_of_order_lets_nobody_in_and_breaks_nothing(issuer, provider, path, fault):
    provider.faults[path] = fault
    with pytest.raises(Refused):
        await come(issuer, provider)
    del provider.faults[path]
    assert await come(issuer, provider)


@pytest.mark.parametrize(
    "describes",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"token_endpoint": "http://sso.example.jp/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
async def test_an_issuer_that_describes_somebody_else_is_refused(issuer, provider, describes):
    provider.describes = describes
    with pytest.raises(Refused, match="名乗りません"):
        await issuer.begin()


async def test_a_directory_that_is_not_there_is_said_plainly(room):
    async with Issuer(Directory(issuer="http://127.0.0.1:9", **SETTINGS), room.clock) as nobody:
        with pytest.raises(Refused, match="つながりません"):
            await nobody.begin()


async def test_the_site_file_names_everything_that_is_wrong():
    text = """\
issuer: http://sso.example.jp
client_id: ""
redirect_url: https://user@console.example.jp/?x
roles: {a: [pilot]}
strong: []
secret: x
"""
    with pytest.raises(ConfigError) as refused:
        bind(Directory, read(text.encode(), "site.yaml"), file="site.yaml", base=Path())
    assert [(p.line, p.path) for p in refused.value.problems] == [
        (1, "issuer"),
        (2, "client_id"),
        (3, "redirect_url"),
        (4, "roles.a[0]"),
        (6, "secret"),
    ]
