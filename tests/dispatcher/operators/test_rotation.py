"""A key is changed on a node that goes on: who has the old one and who has the new one are both served, until the old one ends."""

import asyncio
import base64
import hashlib
import json
import stat
import time
from datetime import timedelta

import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from channels.email_list.letter import Sender
from channels.ip_terminal.notice import Forged, Notice, Signer, Verifier, Words
from channels.ip_terminal.register import password_hash
from config import former
from config.former import Former
from config.secret import Secret
from dispatcher.clock import SystemClock
from drills.world.ports import free_port
from drills.world.terminal import Terminal
from multicast import report
from multicast.keys import RootKey, SenderKey
from multicast.report import Report
from tests.servers.inside import ADDRESS, issued, link, posted, private, with_mail

NOW = SystemClock().now()


async def test_links_of_old_mails_and_of_new_ones_both_work_until_the_old_secret_is_retired(city_hall, capsys):
    with_mail(city_hall)
    old = link(city_hall)
    async with city_hall.up():
        assert await city_hall.beside("keys", "rotate", "email_list.secret", "--overlap", "10 d", "-o", "json") == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["former_until"].startswith(f"{NOW + timedelta(days=10):%Y-%m}")
        assert await posted(old) == 200, "the node that runs is not disturbed"
    new = link(city_hall)
    assert new != old
    for file in ("links", "links.former"):
        assert stat.S_IMODE((city_hall.folder / file).stat().st_mode) == 0o600
    async with city_hall.up():
        assert await posted(old) == 200
        assert await posted(new) == 200
        assert await posted(new[:-1] + ("0" if new[-1] != "0" else "1")) == 403
        assert await city_hall.beside("keys", "retire", "email_list") == 0
    async with city_hall.up():
        assert await posted(old) == 403
        assert await posted(new) == 200


def test_a_former_secret_is_believed_until_its_moment_and_not_after_it():
    sender = Sender(
        name="",
        address="a@example.jp",
        list_id="x",
        unsubscribe_url="https://example.jp/u",
        secret=Secret("new", formers=(Former("old", NOW),)),
    )
    old = Sender(name="", address="a@example.jp", list_id="x", unsubscribe_url="", secret=Secret("old"))
    token = old.token(ADDRESS, "unsubscribe")
    assert sender.is_token(token, ADDRESS, "unsubscribe", NOW - timedelta(seconds=1))
    assert not sender.is_token(token, ADDRESS, "unsubscribe", NOW)
    assert not sender.is_token(token, ADDRESS, "bounce", NOW - timedelta(seconds=1))


# -- terminals -----------------------------------------------------------------------------------------------------


def notice(sent):
    words = Words("ja", "避難指示", "【訓練】大沢の人は いますぐ避難", "大沢", "川の水が増えています")
    return Notice("m", "m", 1, "issue", "Exercise", 1, 4, sent, sent + timedelta(hours=1), (words,))


def as_the_format_says(payload, public):
    """A terminal of another maker, who has read FORMAT.md as it was before keys could change: the last two members."""
    values = json.loads(payload)
    head = payload[: payload.rindex(b',"kid":"')]
    assert values["kid"] == hashlib.sha256(public).hexdigest()[:16]
    VerifyKey(public).verify(b"todoke terminal notice 1\0" + head, base64.b64decode(values["sig"]))
    return values


def test_while_a_key_is_being_changed_a_terminal_with_either_key_believes_the_notice():
    seeds = [bytes([n]) * 32 for n in range(5)]
    publics = [bytes(SigningKey(seed).verify_key) for seed in seeds]
    formers = [(seeds[1], NOW + timedelta(days=2)), (seeds[2], NOW + timedelta(days=1)), (seeds[3], NOW)]
    said = notice(NOW)
    payload = Signer(seeds[0], formers).sign(said)
    for public in publics[:3]:
        assert Verifier(public).read(payload) == said
    for public in publics[3:]:
        with pytest.raises(Forged):
            Verifier(public).read(payload)
    assert as_the_format_says(payload, publics[2])["mid"] == "m", "the one that has been known longest stands last"
    assert Signer(seeds[0], formers).sign(said) == payload
    later = Signer(seeds[0], formers).sign(notice(NOW + timedelta(days=3)))
    assert later == Signer(seeds[0]).sign(notice(NOW + timedelta(days=3))), "afterwards nothing is left of the old ones"


def test_nothing_can_be_put_between_the_signatures():
    seeds = [b"\1" * 32, b"\2" * 32]
    new, old = (bytes(SigningKey(seed).verify_key) for seed in seeds)
    payload = Signer(seeds[0], [(seeds[1], NOW + timedelta(days=1))]).sign(notice(NOW))
    for at in range(0, len(payload), 7):
        altered = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        with pytest.raises(Forged):
            Verifier(old).read(altered)
        with pytest.raises((BadSignatureError, ValueError, AssertionError, KeyError)):
            as_the_format_says(altered, old)
    inner = payload[: payload.rindex(b',"kid":"')] + b"}"
    assert Verifier(new).read(inner) == notice(NOW), "what an old signature stood around is as good without it"
    tail = payload[payload.rindex(b',"kid":"') :]
    many = payload[:-1] + tail[:-1] * 600 + b"}"
    with pytest.raises(Forged):
        Verifier(b"\3" * 32).read(many)


async def test_terminals_with_the_old_key_and_with_the_new_one_both_sound(city_hall, capsys):
    folder, port = city_hall.folder, free_port()
    old = SigningKey(b"\7" * 32)
    private(folder / "signing", bytes(old).hex())
    rows = [
        f"T000{n},第{n},東京都三鷹市大沢,132040301,,{password_hash(f'T000{n}', b'secret').hex()},{'ab' * 32}"
        for n in (1, 2)
    ]
    private(
        folder / "terminals.csv", "tid,name,address,quarter,groups,password_hash,mac_key\n" + "\n".join(rows) + "\n"
    )
    terminals = {"listen": f"127.0.0.1:{port}", "register": "terminals.csv", "signing_key": {"file": "signing"}}
    city_hall.change(channels={"ip_terminal": terminals})
    assert await city_hall.beside("keys", "rotate", "ip_terminal", "-o", "json") == 0
    new = bytes.fromhex(json.loads(capsys.readouterr().out)["hand_out"])
    assert new != bytes(old.verify_key)

    def terminal(number, trust):
        return Terminal(
            "127.0.0.1",
            port,
            tid=f"T000{number}",
            password="secret",
            mac_key=b"\xab" * 32,
            trust=trust,
            status="Exercise",
        )

    async with (
        city_hall.up() as node,
        terminal(1, bytes(old.verify_key)) as first,
        terminal(2, new) as second,
        asyncio.timeout(20),
    ):
        await first.connected.wait()
        await second.connected.wait()
        identifier = await issued(node)
        seen = 0
        while not (first.shown and second.shown):
            seen = await node.ledger.changed(seen, 1)
        assert [t.shown[0]["mid"] for t in (first, second)] == [identifier] * 2
        assert first.refused == second.refused == []


# -- stations ------------------------------------------------------------------------------------------------------


def with_wifi(city_hall, key):
    private(city_hall.folder / "station", "0123456789abcdef")
    reports = f"127.0.0.1:{free_port()}"
    place = {"name": "mitaka", "interface": "127.0.0.1", "port": free_port(), "secret": {"file": "station"}}
    city_hall.change(channels={"wifi_multicast": {"key": str(key), "reports": reports, "stations": [place]}})
    return f"http://{reports}/stations/mitaka"


def sender_key(path, root=None, days=30, status="Exercise"):
    SenderKey.generate(status, root, now_s=time.time(), days=days).save(path)
    return path


async def test_a_stations_receiver_is_believed_under_its_old_secret_and_its_new_one(city_hall, capsys):
    url = with_wifi(city_hall, sender_key(city_hall.folder / "sender", RootKey.generate()))
    assert await city_hall.beside("keys", "rotate", "wifi_multicast.stations[0].secret") == 0
    assert str(city_hall.folder / "station") in capsys.readouterr().out
    new = (city_hall.folder / "station").read_text("utf-8").strip()
    async with city_hall.up():
        for secret, answer in (("0123456789abcdef", 204), (new, 204), ("fedcba9876543210", 401)):
            headers, body = report.write(Report(1, {}, frozenset()), secret, time.time())
            assert await posted(url, body, headers) == answer


async def test_a_senders_key_is_changed_for_one_that_the_root_has_certified(city_hall, tmp_path, capsys):
    root = RootKey.generate()
    with_wifi(city_hall, sender_key(tmp_path / "sender", root, days=3))
    before = (tmp_path / "sender").read_text("utf-8")
    assert (
        city_hall.todoke("keys", "rotate", "wifi_multicast.key", "--with", str(sender_key(tmp_path / "new", root))) == 0
    )
    assert (tmp_path / "sender").read_text("utf-8") == (tmp_path / "new").read_text("utf-8")
    assert next(tmp_path.glob("sender.before-*")).read_text("utf-8") == before
    async with city_hall.up():
        pass
    capsys.readouterr()
    assert city_hall.todoke("keys", "list", "-o", "json") == 0
    listed = {key["key"]: key for key in json.loads(capsys.readouterr().out)["keys"]}
    assert listed["channels.wifi_multicast.key"]["ends"] > (NOW + timedelta(days=20)).isoformat()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder, root: None, "--with NEW"),
        (lambda folder, root: sender_key(folder / "new"), "without a certificate"),
        (lambda folder, root: sender_key(folder / "new", root, status="Actual"), "other mode"),
        (lambda folder, root: sender_key(folder / "new", root, days=-1), "has ended"),
        (lambda folder, root: private(folder / "new", "{}"), "no todoke-sender-key"),
        (lambda folder, root: private(folder / "new", "\0"), "no todoke-sender-key"),
        (lambda folder, root: folder / "nowhere", "no todoke-sender-key"),
    ],
)
def test_a_senders_key_that_receivers_would_not_believe_is_not_taken(city_hall, tmp_path, make, words, capsys):
    root = RootKey.generate()
    with_wifi(city_hall, sender_key(tmp_path / "sender", root))
    before = (tmp_path / "sender").read_bytes()
    new = make(tmp_path, root)
    assert city_hall.todoke("keys", "rotate", "wifi_multicast.key", *(["--with", str(new)] if new else [])) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "sender").read_bytes() == before


# -- what is refused -----------------------------------------------------------------------------------------------


def test_only_what_is_ours_to_make_is_changed(city_hall, tmp_path, monkeypatch, capsys):
    with_mail(city_hall)
    private(tmp_path / "password", "of the relay")
    mail = city_hall.site().channels["email_list"]
    relay = {
        "host": "127.0.0.1",
        "port": mail.relay.port,
        "tls": "none",
        "username": "todoke",
        "password": {"file": "password"},
    }
    blocks = {"email_list": city_hall.blocks("email_list") | {"relay": relay}}
    city_hall.change(channels=blocks)
    assert city_hall.todoke("keys", "rotate", "email_list.relay.password") == 5
    assert "given to us" in capsys.readouterr().err
    assert city_hall.todoke("keys", "rotate", "fax") == 2
    assert "email_list.secret" in capsys.readouterr().err, "what there is is named"
    assert city_hall.todoke("keys", "retire", "email_list.secret") == 5
    for overlap in ("30", "0 d", "500 d", "soon", "-1 d"):
        assert city_hall.todoke("keys", "rotate", "email_list.secret", f"--overlap={overlap}") == 2
    monkeypatch.setenv("TEST_LINKS", "0123456789abcdef-links")
    city_hall.change(channels={"email_list": blocks["email_list"] | {"secret": {"env": "TEST_LINKS"}}})
    assert city_hall.todoke("keys", "rotate", "email_list.secret") == 5
    assert "env TEST_LINKS" in capsys.readouterr().err
    assert not (tmp_path / "links.former").exists()


def test_more_changes_than_can_be_kept_apart_are_refused(city_hall, tmp_path, capsys):
    with_mail(city_hall)
    for _ in range(former.MOST):
        assert city_hall.todoke("keys", "rotate", "email_list.secret") == 0
    last = (tmp_path / "links").read_bytes()
    assert city_hall.todoke("keys", "rotate", "email_list.secret") == 5
    assert (tmp_path / "links").read_bytes() == last
    assert len(city_hall.site().channels["email_list"].secret.formers) == former.MOST


def test_a_stop_between_the_two_files_leaves_a_node_that_starts(city_hall, tmp_path):
    with_mail(city_hall)
    text = (tmp_path / "links").read_text("utf-8")
    private(tmp_path / "links.former", former.write([Former(text, NOW + timedelta(days=1))]))
    assert city_hall.site().channels["email_list"].secret.believed(NOW) == (text, text)
    assert city_hall.todoke("keys", "rotate", "email_list.secret") == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[" * 100000,
        '{"formers": [1]}',
        '{"formers": [{"secret": "", "until": "2026-11-21T09:00:00+09:00"}]}',
        '{"formers": [{"secret": "x", "until": "2026-11-21T09:00:00"}]}',
        json.dumps({"formers": [{}] * 9}),
        "\x00" * 99,
    ],
)
def test_a_damaged_list_of_former_secrets_is_a_problem_of_the_site_file(city_hall, tmp_path, text, capsys):
    with_mail(city_hall)
    private(tmp_path / "links.former", text)
    assert city_hall.todoke("keys", "list") == 2
    assert "links.former" in capsys.readouterr().err


async def test_a_former_key_is_seen_by_the_doctor_and_goes_into_a_backup_with_the_others(city_hall, tmp_path, capsys):
    with_mail(city_hall)
    assert await city_hall.beside("keys", "rotate", "email_list.secret") == 0
    async with city_hall.up():
        pass
    capsys.readouterr()
    await city_hall.beside("doctor")
    assert "believed until" in capsys.readouterr().out
    assert await city_hall.beside("backup", "--to", str(tmp_path / "b.tar"), "--with-keys") == 0
    kept = {file: (tmp_path / file).read_bytes() for file in ("links", "links.former")}
    for file in kept:
        (tmp_path / file).unlink()
    assert await city_hall.beside("restore", str(tmp_path / "b.tar"), "--replace") == 0
    assert {file: (tmp_path / file).read_bytes() for file in kept} == kept
    private(tmp_path / "links.former", former.write([Former("old", NOW - timedelta(days=1))]))
    capsys.readouterr()
    await city_hall.beside("doctor")
    assert "todoke keys retire" in capsys.readouterr().out
