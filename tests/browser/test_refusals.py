"""What goes wrong in a browser: a session that ended while somebody typed, a page grown old, a form of another site, two who write at once."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from tests.browser.city import APPROVER, PASSWORD, WRITER
from tests.browser.officer import CAUSE

CAUSE_TYPED = "仙川の水位が上がり、あふれるおそれがあります"


@pytest.mark.parametrize("has_script", [True, False], ids=["with scripts", "without scripts"])
def test_what_was_typed_outlives_the_session(city, stranger, kept, has_script):
    officer = stranger(WRITER, has_script=has_script)
    officer.sign_in("/compose")
    officer.choose_template("evacuation-order")
    officer.choose_area("北野")
    city.revoke(WRITER)
    kept.pop(WRITER, None)
    officer.page.get_by_label(CAUSE).fill(CAUSE_TYPED)
    if has_script:
        expect(officer.page.get_by_role("status").filter(has_text="サインインの期限が切れました")).to_be_visible()
    officer.press("下書きに保存")
    expect(officer.main()).to_contain_text("書いたものは残っています")
    expect(officer.main()).to_contain_text(CAUSE_TYPED)
    officer.type_credentials()
    expect(officer.main()).to_contain_text("まだ送られていません")
    officer.press("下書きに保存")
    expect(officer.page).to_have_url(re.compile(r"/drafts/[^/]+\?saved=1$"))
    expect(officer.page.get_by_label(CAUSE)).to_have_value(CAUSE_TYPED)
    expect(officer.page.locator("#area")).to_contain_text("北野")
    # Previews that were on their way met the sign-in page, which lets nobody frame it.
    assert all("frame-ancestors 'none'" in complaint for complaint in officer.complaints)
    officer.complaints.clear()


def test_a_page_that_has_grown_old_cannot_approve(city, sit):
    identifier = city.pending("大沢三丁目")
    approver, writer = sit(APPROVER), sit(WRITER)
    approver.open(f"/drafts/{identifier}/approve")
    writer.open(f"/drafts/{identifier}")
    writer.page.get_by_label(CAUSE).fill("野川の堤防から水がもれています")
    writer.press("承認へ提出")
    expect(writer.page).to_have_url(re.compile("/approve$"))
    approver.page.get_by_role("checkbox").first.check()
    approver.press("訓練：大沢三丁目へ避難指示を発表")
    refusal = approver.page.get_by_role("alert")
    expect(refusal).to_contain_text("出していません")
    expect(refusal.locator("ins").filter(has_text="堤防")).to_have_count(1)
    assert identifier not in city.alerts()
    # What is on the screen now is what stands there: read again, it goes out.
    assert approver.tick_and_press("訓練：大沢三丁目へ避難指示を発表") == identifier


@contextmanager
def another_site(page: str) -> Iterator[str]:
    """A site of somebody else's on this machine, with one page."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_):
            """It keeps no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_form_of_another_site_is_refused_and_stands_on_the_board(city, sit):
    identifier = city.pending("大沢四丁目")
    # Another port of the same host: the cookie goes along, so it is the origin that must be looked at.
    form = (
        f'<form method="post" action="{city.url}/drafts/{identifier}/approve"><input name="read" value="yes">'
        '<input name="_mode" value="drill"><button>猫の写真</button></form>'
    )
    officer = sit(APPROVER)
    with another_site(form) as url:
        officer.page.goto(url)
        officer.press("猫の写真")
        expect(officer.main()).to_contain_text("よそのページから送られたので受け付けません")
    assert identifier not in city.alerts()
    officer.open("/")
    refused = officer.page.locator('[data-live="refused"]')
    expect(refused).to_contain_text("よそからの送信")
    expect(refused).to_contain_text(f"/drafts/{identifier}/approve")


@pytest.mark.parametrize("has_script", [True, False], ids=["with scripts", "without scripts"])
def test_two_who_write_the_same_draft_see_both_versions(city, sit, has_script):
    identifier = city.drafted("大沢五丁目")
    mine, theirs = "野川の水が道にあふれています", "野川の橋が通れません"
    one, other = sit(WRITER, has_script=has_script), sit(APPROVER, has_script=has_script)
    for officer, words in ((one, mine), (other, theirs)):
        officer.open(f"/drafts/{identifier}")
        officer.page.get_by_label(CAUSE).fill(words)
    other.press("下書きに保存")
    expect(other.page).to_have_url(re.compile("saved=1$"))
    one.press("下書きに保存")
    expect(one.page.get_by_role("alert")).to_contain_text("ほかの人が先に保存しました")
    expect(one.page.get_by_role("alert")).to_contain_text(theirs)
    expect(one.page.get_by_label(CAUSE)).to_have_value(mine)
    one.press("自分の文で保存する")
    expect(one.page).to_have_url(re.compile("saved=1$"))
    expect(one.page.get_by_label(CAUSE)).to_have_value(mine)


def test_a_cookie_is_worth_nothing_after_signing_out(stranger):
    officer = stranger(WRITER)
    officer.sign_in()
    cookies = officer.context.cookies()
    officer.press("サインアウト")
    officer.context.clear_cookies()
    officer.context.add_cookies(cookies)
    officer.open("/")
    expect(officer.page).to_have_url(re.compile("/signin$"))


def test_a_code_is_taken_once_and_a_refused_sign_in_tells_nothing(city, stranger, sit):
    officer = stranger(APPROVER)
    code = city.second_factor(APPROVER)
    for password, typed in (("ちがう パスワード です", code), (PASSWORD, "000000")):
        officer.open("/signin")
        officer.page.get_by_label("名前").fill(APPROVER)
        officer.page.get_by_label("合言葉（パスワード）").fill(password)
        officer.page.get_by_label("認証アプリの6けた").fill(typed)
        officer.press("サインイン")
        expect(officer.page.get_by_role("alert")).to_contain_text("どれかが違います")
        expect(officer.page.get_by_label("名前")).to_have_value(APPROVER)
    watching = sit(WRITER)
    watching.open("/")
    expect(watching.page.locator('[data-live="refused"]')).to_contain_text("サインイン")
