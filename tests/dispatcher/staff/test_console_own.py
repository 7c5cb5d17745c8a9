"""登録 and 自分の設定 through real HTTP: somebody new comes in, and looks after their own way in, without a script."""

import re
from urllib.parse import urlencode

import pyotp
import pytest
import pytest_asyncio

from dispatcher.clock import SystemClock
from dispatcher.staff.sessions import Person
from tests.servers.chromium import chromium
from tests.servers.console import APPROVER, PASSWORD, ROLES, WRITER, console, until
from tests.servers.oidc_provider import CLIENT, REDIRECT, SECRET, providing

pytestmark = pytest.mark.asyncio(loop_scope="module")
NEW = "職員0021"
WORDS = "野川の水位は 毎朝7時に見る"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_console(tmp_path_factory):
    """One node for all that leaves its two admins as they are."""
    async with console(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def own_console(tmp_path):
    async with console(tmp_path) as opened:
        yield opened


async def handed_over(open_console):
    proposals = open_console.accounts.proposals
    proposal = await proposals.propose(
        Person(WRITER, tuple(ROLES[WRITER])), "add", {"name": NEW, "roles": ["originator"]}
    )
    return (await proposals.approve(Person(APPROVER, tuple(ROLES[APPROVER])), proposal.id)).handed_over


def secret_of(page):
    return next(code.text for code in page.tree.xpath("//main//code") if re.fullmatch(r"[A-Z2-7]{32}", code.text))


async def test_somebody_new_sets_up_an_app_and_a_password_and_comes_in(open_console):
    code = await handed_over(open_console)
    async with open_console.browser() as browser:
        page = await browser.send(await browser.open("/enrol"), "/enrol", _enrolment=code)
        assert page.tree.xpath("//main//svg"), "a QR code"
        assert NEW in page.words
        app = pyotp.TOTP(secret_of(page))
        wrong = await browser.send(page, "/enrol/finish", code="000000", _password="short", _again="short")
        assert wrong.status == 422
        assert "12文字" in wrong.words
        assert "6桁" in wrong.words
        assert secret_of(wrong) == app.secret, "the same QR code: nobody scans twice"
        differ = await browser.send(wrong, "/enrol/finish", code=app.now(), _password=WORDS, _again=WORDS + "x")
        assert "二度の入力が違います" in differ.words
        done = await browser.send(differ, "/enrol/finish", code=app.now(), _password=WORDS, _again=WORDS)
        codes = [code.text for code in done.tree.xpath("//main//ol//code")]
        assert len(codes) == 10
        assert WORDS not in wrong.text + differ.text + done.text
        inside = await browser.send(await browser.open("/signin"), "/signin", name=NEW, password=WORDS, code=codes[0])
        assert inside.status == 200
        assert NEW in inside.text
        again = await browser.send(await browser.open("/enrol"), "/enrol", _enrolment=code)
        assert again.status == 401
        assert "登録コードは使えません" in again.words


@pytest.mark.parametrize("code", ["", "ABCD-EFGH-JKLM-NPQR", "<script>", "x" * 100_000, "\x00"])
async def test_a_guessed_enrolment_code_shows_nothing(open_console, code):
    async with open_console.browser() as browser:
        await browser.open("/enrol")
        for path in ("/enrol", "/enrol/finish"):
            page = await browser.post(path, {"_enrolment": code, "_password": WORDS, "_again": WORDS, "code": "000000"})
            assert page.status == 401
            assert "svg" not in page.text
            assert "<script>" not in page.text


async def test_a_password_is_changed_with_the_old_one_and_every_session_ends(own_console):
    async with own_console.signed_in(WRITER) as browser, own_console.signed_in(WRITER) as other:
        page = await browser.open("/own")
        wrong = await browser.send(page, "/own/password", _old="ちがうパスワードです", _new=WORDS, _again=WORDS)
        assert wrong.status == 401
        assert "今のパスワードが違います" in wrong.words
        done = await browser.send(wrong, "/own/password", _old=PASSWORD, _new=WORDS, _again=WORDS)
        assert done.url.endswith("/signin")
        assert (await other.get("/own")).status == 303
        code = own_console.codes[WRITER].pop()
        inside = await browser.send(done, "/signin", name=WRITER, password=WORDS, code=code)
        assert WRITER in inside.text


async def test_recovery_codes_are_drawn_anew_and_shown_once(own_console):
    async with own_console.signed_in(WRITER) as browser:
        page = await browser.send(await browser.open("/own"), "/own/recovery")
        codes = [code.text for code in page.tree.xpath("//main//ol//code")]
        assert len(codes) == 10
        assert codes[0] not in (await browser.open("/own")).text
        own_console.codes[WRITER][:] = codes
    async with own_console.signed_in(WRITER) as browser:
        assert "残り 9" in (await browser.open("/own")).words


async def test_a_token_for_the_command_line_is_made_shown_once_and_ended(open_console):
    async with open_console.signed_in(WRITER) as browser:
        page = await browser.open("/own")
        page = await browser.send(page, "/own/tokens", title="夜勤の端末", days="7", scope="read")
        token = next(code.text for code in page.tree.xpath("//main//code") if code.text.startswith("todoke_"))
        bearer = await open_console.accounts.bearer(token)
        assert (bearer.person.name, bearer.scopes) == (WRITER, {"read"})
        page = await browser.open("/own")
        assert token not in page.text
        too_long = await browser.send(page, "/own/tokens", title="端末", days="91", scope="read")
        assert "90日まで" in too_long.words
        page = await browser.send(page, "/own/tokens/revoke")
        assert "夜勤の端末" not in page.words
        with pytest.raises(Exception, match="unknown, expired or revoked"):
            await open_console.accounts.bearer(token)


async def test_another_phone_is_set_up_from_inside(own_console):
    async with own_console.signed_in(WRITER) as browser:
        page = await browser.send(await browser.open("/own"), "/own/app")
        app = pyotp.TOTP(secret_of(page))
        done = await browser.send(page, "/enrol/finish", code=app.now(), _password=WORDS, _again=WORDS)
        assert done.status == 200, done.words
        codes = [code.text for code in done.tree.xpath("//main//ol//code")]
        inside = await browser.send(
            await browser.open("/signin"), "/signin", name=WRITER, password=WORDS, code=codes[0]
        )
        assert WRITER in inside.text


async def test_what_changes_an_account_needs_this_sessions_seal(open_console):
    async with open_console.signed_in(WRITER) as browser:
        for path in ("password", "recovery", "app", "tokens", "tokens/revoke", "passkeys", "passkeys/remove"):
            page = await browser.post(f"/own/{path}", {"_new": WORDS, "_old": PASSWORD})
            assert page.status == 403
            assert PASSWORD not in page.words
            forged = await browser.post(f"/own/{path}", {}, Origin="https://evil.example", Sec_Fetch_Site="cross-site")
            assert forged.status == 403


async def test_nobody_sees_the_page_of_somebody_who_is_not_in(open_console):
    async with open_console.browser() as browser:
        assert (await browser.get("/own")).headers["Location"] == "/signin?next=/own"
        page = await browser.post("/own/password", {"_old": PASSWORD, "_new": WORDS, "_again": WORDS})
        assert page.status == 401
        assert PASSWORD not in page.words


AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


async def test_a_real_browser_registers_a_passkey_and_comes_in_with_it_alone(tmp_path):
    async with console(tmp_path, host="localhost") as opened, chromium() as tab:
        await tab.call("WebAuthn.enable")
        await tab.call("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
        await tab.open(f"{opened.url}/signin", 1280, 900)
        typed = {"name": WRITER, "password": PASSWORD, "code": opened.codes[WRITER].pop()}
        for field, value in typed.items():
            await tab.value(f"document.getElementById('{field}').value = '{value}'")
        await press(tab, "form[data-passkey] .btn-first")
        await until(lambda: shows(tab, "/", WRITER), "signed in")
        await tab.open(f"{opened.url}/own", 1280, 900)
        await tab.value("document.getElementById('title-passkey').value = '執務室の端末'")
        await press(tab, "[data-add-passkey] button")
        await until(lambda: shows(tab, "/own", "執務室の端末"), "the passkey is listed")
        await press(tab, "form[action='/signout'] button")
        await until(lambda: shows(tab, "/signin", "サインイン"), "signed out")
        await press(tab, "[data-passkey-button]")
        await until(lambda: shows(tab, "/", WRITER), "signed in with the passkey alone")
        said = [r.event.facts["how"] async for r in opened.node.ledger.events() if r.event.name == "session.opened"]
        assert said == ["password", "passkey"]


async def press(tab, selector):
    """As a person does: only then does a browser ask its authenticator."""
    expression = f'document.querySelector("{selector}").click()'
    await tab.call("Runtime.evaluate", expression=expression, userGesture=True)


async def shows(tab, path, words):
    return await tab.value(
        f"document.readyState === 'complete' && location.pathname === '{path}' && document.body.innerText.includes('{words}')"
    )


# -- the city's directory ------------------------------------------------------------------------------------------------


async def test_staff_of_the_citys_directory_come_in_through_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DIRECTORY_SECRET", SECRET)
    async with providing(SystemClock()) as provider:
        directory = {
            "issuer": provider.url,
            "client_id": CLIENT,
            "client_secret": {"env": "DIRECTORY_SECRET"},
            "redirect_url": REDIRECT,
            "roles": {"bosai-shonin": ["approver"]},
        }
        async with console(tmp_path, directory=directory) as opened, opened.browser() as browser:
            provider.who = {"preferred_username": "職員0031", "groups": ["bosai-shonin"], "amr": ["mfa"]}
            assert "/directory/leave" in (await browser.open("/signin")).text
            left = await browser.get("/directory/leave")
            assert left.status == 303
            assert "SameSite=Lax" in left.headers["Set-Cookie"]
            assert "HttpOnly" in left.headers["Set-Cookie"]
            back = f"/directory?{urlencode(provider.visit(left.headers['Location']))}"
            async with opened.browser() as other:
                stolen = await other.get(back)
                assert stolen.status == 401
                assert (await other.get("/own")).status == 303
            arrived = await browser.get(back)
            assert arrived.status == 200, (
                "a page, not a redirect: a browser led from another site keeps Strict cookies back"
            )
            assert "職員0031" in (await browser.open("/")).text
            assert "市の認証基盤" in (await browser.open("/own")).words
            again = await browser.get(back)
            assert again.status == 401


async def test_without_a_directory_nobody_is_led_anywhere(open_console):
    async with open_console.browser() as browser:
        assert "/directory" not in (await browser.open("/signin")).text
        for path in ("/directory/leave", "/directory?code=x&state=y"):
            page = await browser.get(path)
            assert page.status == 404
