"""DKIM, judged by dkimpy: every mail of a template, in every language, with both kinds of key; and nothing altered passes."""

import re

import dkim as judge
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from channels.email_list.dkim import Key, NoKey, record
from channels.email_list.letter import Letter, Sender, ask, plain, write
from channels.email_list.settings import DkimSettings
from config.secret import Secret
from dispatcher.channel import Recipient, with_banner
from dispatcher.clock import SystemClock
from dispatcher.model.delivery import Priority
from dispatcher.model.mode import Drill
from dispatcher.model.question import Asking, Kind, Question, marked
from tests.samples import evacuation_order

SENDER = Sender(
    name="三鷹市（訓練）",
    address="kunren@bousai.example.jp",
    list_id="kunren.bousai.example.jp",
    unsubscribe_url="https://bousai.example.jp/unsubscribe",
    secret=Secret("0123456789abcdef"),
)
ORDER = with_banner(evacuation_order(Drill), Drill)


def pem(private) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


RSA = Key.read("r2026", "bousai.example.jp", pem(rsa.generate_private_key(65537, 2048)))
ED = Key.read("e2026", "example.jp", pem(Ed25519PrivateKey.generate()))
KEYS = (RSA, ED)


def published(name: bytes, timeout: int = 5) -> bytes | None:
    """The DNS, as it would answer."""
    zone = {f"{key.selector}._domainkey.{key.domain}.": record(key).encode() for key in KEYS}
    return zone.get(name.decode())


def verdicts(mail: bytes) -> list[bool]:
    """Of each signature in it."""
    seen = judge.DKIM(mail)
    count = sum(name.lower() == b"dkim-signature" for name, _ in seen.headers)
    return [is_good(seen, number) for number in range(count)]


def is_good(mail: judge.DKIM, number: int) -> bool:
    try:
        return bool(mail.verify(idx=number, dnsfunc=published))
    except judge.ValidationError:
        return False


def letter(language: str = "ja", keys=KEYS) -> Letter:
    return Letter(write(ORDER, language, SENDER, Drill.banner(language)).template, keys)


@pytest.mark.parametrize("language", ["ja", "ja-x-easy", "en-US"])
def test_both_signatures_of_every_mail_are_good(language):
    written = letter(language)
    for number in range(3):
        mail = written.to(f"user{number}@example.jp", ORDER.identifier, SENDER, language)
        assert verdicts(mail) == [True, True]


def test_a_mail_to_one_person_is_signed_too_with_a_link_and_without():
    for link in ("https://bousai.example.jp/a/aaaa", ""):
        one = Recipient("p1", "guardian@example.jp", "ja", link)
        assert verdicts(letter().to_one(one, ORDER.identifier, SENDER)) == [True, True]


def test_a_question_is_signed_too_with_its_link_between_the_languages():
    said = tuple(
        Asking(language, title, "", "one line", "ok", "hurt", "help", "119")
        for language, title in (("ja", "無事ですか"), ("en", "Are you safe?"))
    )
    now = SystemClock().now()
    question: Question[Drill] = Question(
        campaign="c1",
        round=1,
        rung=0,
        status=Drill.status,
        about="",
        kind=Kind.SAFETY,
        priority=Priority.URGENT,
        asked_at=now,
        answer_until=now,
        said=marked(said, Drill),
    )
    for language in ("ja", "en"):
        written = Letter(ask(question, language, SENDER).template, KEYS)
        one = Recipient("p1", "guardian@example.jp", language, "https://bousai.example.jp/a/aaaa")
        assert verdicts(written.to_one(one, question.identifier, SENDER)) == [True, True]


def test_a_mail_beside_the_list_is_signed():
    mail = plain(
        SENDER,
        "a@example.jp",
        "登録メールの手続き　" * 5,
        "下のページ\r\nhttps://x\r\n",
        SystemClock().now(),
        message_id="<a@bousai.example.jp>",
        submitted="auto-replied",
        keys=KEYS,
    )
    assert verdicts(mail) == [True, True]


def test_no_altered_byte_passes():
    mail = letter().to("user@example.jp", ORDER.identifier, SENDER, "ja")
    body = mail.index(b"\r\n\r\n") + 10
    for altered in (
        mail.replace(b"To: <user@", b"To: <usfr@"),
        mail.replace(b"unsubscribe?to=", b"unsubscribe?tp="),
        mail.replace(b"Auto-Submitted: auto-generated", b"Auto-Submitted: no"),
        mail[:body] + (b"A" if mail[body : body + 1] != b"A" else b"B") + mail[body + 1 :],
        mail + b"QQ==\r\n",
    ):
        assert altered != mail
        assert verdicts(altered) == [False, False]


def test_the_headers_that_a_receiver_asks_for_are_covered():
    mail = letter().to("user@example.jp", ORDER.identifier, SENDER, "ja")
    for signature in re.findall(rb"DKIM-Signature:(.*?)\r\n(?![ \t])", mail, re.DOTALL):
        covered = re.search(rb"h=([^;]*);", re.sub(rb"\s", b"", signature))[1].split(b":")
        for name in (b"from", b"to", b"subject", b"date", b"message-id", b"list-unsubscribe", b"list-unsubscribe-post"):
            assert name in covered


def test_a_repeat_has_the_same_bytes_and_without_keys_not_one_is_added():
    signed, bare = letter(), letter(keys=())
    mail = bare.to("user@example.jp", "id", SENDER, "ja")
    again = signed.to("user@example.jp", "id", SENDER, "ja")
    assert again == letter().to("user@example.jp", "id", SENDER, "ja")
    assert again.endswith(mail)
    assert b"DKIM" not in mail
    assert all(len(line) <= 998 for line in again.split(b"\r\n"))


@given(st.from_regex(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,40}@[a-z]{1,20}\.jp", fullmatch=True))
def test_whatever_the_address_the_signature_holds(address):
    assert verdicts(ED_LETTER.to(address, "id", SENDER, "ja")) == [True]


ED_LETTER = letter(keys=(ED,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(Ed25519PrivateKey.generate())[:60],
    ],
    ids=["nothing", "rubbish", "a key that cannot sign mail", "half a key"],
)
def test_what_is_no_key_that_signs_mail_is_named(text):
    with pytest.raises(NoKey):
        Key.read("s", "example.jp", text)
    settings = DkimSettings(selector="s_x", domain="x", key=Secret(text))
    assert [where for where, _ in settings.problems()] == ["selector", "domain", "key"]
