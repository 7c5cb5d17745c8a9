"""The mail: written once for each language, then only what differs from reader to reader is put in.

`EmailMessage` costs 2.1 ms a mail and joining bytes 1.3 µs, so the message is serialised once. What is personal (To, Message-ID,
the unsubscribe link) has places of its own; the personal end of the text follows a body that fills whole base64 lines, so that
both parts decode as one.

Source: RFC 5322, RFC 2045 §6.8, RFC 2047, RFC 2369, RFC 2919 (List-Id), RFC 3834 (Auto-Submitted), RFC 8058; facts.md §Mail.
"""

import base64
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import quote

from channels.email_list.dkim import Key, Seal
from config.secret import Secret
from config.words import in_language
from dispatcher.channel import Recipient
from dispatcher.model import marking
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.draft import verb_of
from dispatcher.model.question import Asking, Question

TO, MESSAGE_ID, UNSUBSCRIBE, PERSONAL = b"@@to@@", b"@@message-id@@", b"@@unsubscribe@@", b"@@personal@@"
_PLACES: Final = (TO, MESSAGE_ID, UNSUBSCRIBE, PERSONAL)
LINE_BYTES: Final = 57
"""Of text in one base64 line of 76 characters."""
LONGEST_PLACE: Final = 24
OPENING_LINES: Final = 2
"""Headline and place, before the link of whoever has to press it."""
_LIST_LINKS: Final = (
    b"List-Unsubscribe: <" + UNSUBSCRIBE + b">\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
)
BOUNCE_ADDS: Final = 27
"""Characters of a bounce address beyond the sender's own: `+b-` and its token."""

_OTHERS = {"ja": "{}ほか", "en": "{} and others", "zh": "{}等", "ko": "{} 외"}
_LABELS = {
    "ja": ("レベル", "避難先", "次の情報", "電話", "くわしく", "配信をやめる"),
    "ja-x-easy": ("レベル", "逃げる ところ", "次の お知らせ", "電話", "くわしく", "メールを やめる"),
    "en": ("Level ", "Shelters", "Next update", "Phone", "More", "Unsubscribe"),
    "zh": ("等级", "避难处", "下次通知", "电话", "详细", "退订"),
    "ko": ("레벨 ", "대피할 곳", "다음 안내", "전화", "자세히", "수신 거부"),
}
_OWN = {
    "ja": "確認・回答はこちら",
    "ja-x-easy": "ここを おして こたえて ください",
    "en": "Confirm or answer here",
    "zh": "请在此确认或回答",
    "ko": "확인·응답은 여기에서",
}


def _token(secret: str, address: str, purpose: str) -> str:
    return hmac.digest(secret.encode(), f"{purpose}\0{address}".encode(), "sha256")[:16].hex()


@lru_cache(maxsize=256)
def _atom(text: str) -> str:
    """As it can stand between two dots of a Message-ID."""
    return quote(text, safe="").replace(".", "%2E")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who writes, and the keys that make what is personal. All the same for every mail of a site."""

    name: str
    address: str
    list_id: str
    """`kunren.bousai.example.jp`: the list's name, without angle brackets."""
    unsubscribe_url: str
    secret: Secret

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def token(self, address: str, purpose: str) -> str:
        """Proves that a link or a bounce is about this address: 128 bits in hex, which survives lower and upper case."""
        return _token(self.secret.reveal(), address, purpose)

    def is_token(self, given: str, address: str, purpose: str, at: datetime) -> bool:
        """Does it prove that, under the secret or a former one that still holds? All are compared, so the time tells nothing."""
        seen = given.encode("utf-8", "replace")
        tokens = [_token(text, address, purpose).encode() for text in self.secret.believed(at)]
        return any([hmac.compare_digest(seen, token) for token in tokens])  # noqa: C419 - a generator would stop at the first

    def unsubscribe(self, address: str) -> str:
        """The link of RFC 8058: a POST to it is enough."""
        return f"{self.unsubscribe_url}?to={quote(address, safe='')}&key={self.token(address, 'unsubscribe')}"

    def bounces(self, address: str) -> str:
        """Envelope sender: where a bounce comes back, it says whose (VERP, by a token, because addresses may be long)."""
        local, _, domain = self.address.rpartition("@")
        return f"{local}+b-{self.bounce_token(address)}@{domain}"

    def bounce_token(self, address: str) -> str:
        """What stands in a bounce address."""
        return self.token(address, "bounce")[: BOUNCE_ADDS - 3]

    def is_bounce(self, given: str, address: str, at: datetime) -> bool:
        """Whether the token of a bounce address is of this address."""
        seen = given.encode("utf-8", "replace")
        tokens = [_token(text, address, "bounce")[: BOUNCE_ADDS - 3].encode() for text in self.secret.believed(at)]
        return any([hmac.compare_digest(seen, token) for token in tokens])  # noqa: C419 - as in is_token

    def message_id(self, identifier: str, address: str, key: str = "") -> str:
        """The same for the same mail, so that receivers can drop a repeat; a bounce that names it says which alert it was of.

        Of a mail to one person by `key`, the key stands in it and the address has no part in it.
        """
        digest = _token(self.secret.reveal(), f"{identifier}\0{key or address}", "message")
        named = f".{_atom(identifier)}" + (f".{_atom(key)}" if key else "")
        return f"<{digest}{named}@{self.domain}>"

    def is_message(self, digest: str, identifier: str, whose: str, at: datetime) -> bool:
        """Whether we gave that Message-ID; `whose`: the key that stands in it, else the address."""
        return self.is_token(digest, f"{identifier}\0{whose}", "message", at)


@dataclass(frozen=True)
class Letter:
    """A template as it stands in a rendering."""

    template: bytes
    keys: tuple[Key, ...] = ()
    """That sign it; none where the relay does."""

    @cached_property
    def _seal(self) -> Seal:
        return Seal(self.template, self.keys, _PLACES, PERSONAL)

    @cached_property
    def _pieces(self) -> tuple[tuple[bytes, bytes], ...]:
        """(bytes, the place that follows them), the last with none."""
        pieces: list[tuple[bytes, bytes]] = []
        rest = self.template
        while True:
            at, place = min(((rest.find(p), p) for p in _PLACES if p in rest), default=(-1, b""))
            if at < 0:
                return (*pieces, (rest, b""))
            pieces.append((rest[:at], place))
            rest = rest[at + len(place) :]

    def to(self, address: str, identifier: str, sender: Sender, language: str) -> bytes:
        """The mail for one reader of the list, lines ended by CRLF."""
        link = sender.unsubscribe(address)
        label = in_language(_LABELS, language)[-1]
        return self._filled(
            address, sender.message_id(identifier, address), link, _base64_lines(_end(label, link, language))
        )

    def to_one(self, recipient: Recipient, identifier: str, sender: Sender) -> bytes:
        """The mail for one person or facility: with their own link before other languages, and no list to leave.

        Its Message-ID is made of the key, because a family may share an address and each of them is asked.
        """
        label = in_language(_OWN, recipient.language)
        text = _end(label, recipient.link, recipient.language) if recipient.link else b""
        # More may follow it, so whole lines; the spaces stand before it, behind those that the text ends with.
        end = _base64_lines(text.rjust(len(_padded(text))))
        return self._unlisted._filled(  # noqa: SLF001 - a letter of its own
            recipient.address, sender.message_id(identifier, recipient.address, recipient.key), "", end
        )

    @cached_property
    def _unlisted(self) -> "Letter":
        head, blank, body = self.template.replace(_LIST_LINKS, b"", 1).partition(b"\r\n\r\n")
        if body.endswith(PERSONAL):
            # Who has to press it at three in the morning reads two lines, not five languages.
            first, rest = _opening(base64.b64decode(body.removesuffix(PERSONAL)))
            body = _base64_lines(_padded(first)) + PERSONAL + _base64_lines(rest)
        return Letter(head + blank + body, self.keys)

    def _filled(self, address: str, message_id: str, link: str, end: bytes) -> bytes:
        values = {
            TO: address.encode(),
            MESSAGE_ID: message_id.encode(),
            UNSUBSCRIBE: link.encode(),
            PERSONAL: end,
            b"": b"",
        }
        mail = b"".join(part for text, place in self._pieces for part in (text, values[place]))
        return self._seal.headers(values, end) + mail if self.keys else mail


def write(alert: Alert[object], language: str, sender: Sender, banner: str) -> Letter:
    """The template of a mail whose reader prefers this language; the other languages follow below it."""
    infos = sorted(alert.info, key=lambda info: info.language != language)
    text = "\r\n\r\n――――――――\r\n\r\n".join("\r\n".join(section(info, alert)) for info in infos) + "\r\n"
    headers = [
        ("From", f"{_encoded(sender.name, 'From')} <{sender.address}>"),
        ("To", f"<{TO.decode()}>"),
        ("Subject", _encoded(subject(infos[0], alert, banner), "Subject")),
        ("Date", format_datetime(alert.sent)),
        ("Message-ID", MESSAGE_ID.decode()),
        ("List-Id", f"<{sender.list_id}>"),
        ("List-Unsubscribe", f"<{UNSUBSCRIBE.decode()}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Auto-Submitted", "auto-generated"),
        ("Content-Language", infos[0].language),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "base64"),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    return Letter(head.encode("ascii") + _base64_lines(_padded(text.encode())) + PERSONAL)


def ask(question: Question[object], language: str, sender: Sender) -> Letter:
    """The template of a question whose reader prefers this language; `to_one` fills it in, with the link to answer by."""
    asked = sorted(question.said, key=lambda asking: asking.language != language)
    own, *others = ["\r\n".join(asking_lines(asking)) + "\r\n" for asking in asked]
    text = "".join(f"\r\n――――――――\r\n\r\n{other}" for other in others)
    headers = [
        ("From", f"{_encoded(sender.name, 'From')} <{sender.address}>"),
        ("To", f"<{TO.decode()}>"),
        ("Subject", _encoded(asked[0].title, "Subject")),
        ("Date", format_datetime(question.asked_at)),
        ("Message-ID", MESSAGE_ID.decode()),
        ("Auto-Submitted", "auto-generated"),
        ("Content-Language", asked[0].language),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "base64"),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    # The link stands under one's own language, where it is seen without scrolling.
    body = _base64_lines(_padded(own.encode())) + PERSONAL + _base64_lines(text.encode())
    return Letter(head.encode("ascii") + body)


def asking_lines(asking: Asking) -> Iterator[str]:
    """The question in one language, line by line."""
    yield asking.title
    for text in (asking.about, asking.body, asking.note):
        yield from text.splitlines()


def plain(
    sender: Sender,
    to: str,
    subject: str,
    text: str,
    at: datetime,
    *,
    message_id: str,
    submitted: str,
    answers: str = "",
    keys: tuple[Key, ...] = (),
) -> bytes:
    """A mail to one person beside the list; `submitted`: auto-generated or auto-replied (RFC 3834 §5)."""
    headers = [
        ("From", f"{_encoded(sender.name, 'From')} <{sender.address}>"),
        ("To", f"<{to}>"),
        ("Subject", _encoded(subject, "Subject")),
        ("Date", format_datetime(at)),
        ("Message-ID", message_id),
        *([("In-Reply-To", answers)] if answers else []),
        ("Auto-Submitted", submitted),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", "base64"),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    mail = head.encode("ascii") + _base64_lines(text.encode())
    return Seal(mail, keys, (), b"").headers({}, b"") + mail if keys else mail


def subject(info: Info, alert: Alert[object], banner: str) -> str:
    """Banner, verb, level and area come first: a phone shows some fifteen characters."""
    mark = marking.mark(info.language, verb_of(alert))
    level = f"{in_language(_LABELS, info.language)[0]}{info.level} " if info.level else ""
    place = info.place
    if len(place) > LONGEST_PLACE:
        place = in_language(_OTHERS, info.language).format(re.split("、|, ", place)[0])
    return f"{banner}{mark}{level}{place} {info.event}"


def section(info: Info, alert: Alert[object]) -> Iterator[str]:
    """The message in one language, line by line. What the alert says bears the banner already."""
    _, shelters, update, phone, more, _ = in_language(_LABELS, info.language)
    separator = _separator(info.language)
    yield info.headline or info.event
    yield info.place
    for text in (info.added(Added.CORRECTION), info.description, info.instruction):
        yield from (text or "").splitlines()
    if named := info.added(Added.SHELTERS):
        yield f"{shelters}{separator}{named}"
    if moment := info.added(Added.NEXT_UPDATE):
        yield f"{update}{separator}{datetime.fromisoformat(moment):%H:%M}"
    if info.contact:
        yield f"{phone}{separator}{info.contact}"
    if info.web:
        yield f"{more}{separator}{info.web}"
    yield f"{info.sender_name or ''} {alert.sent:%Y-%m-%d %H:%M}"


def _opening(text: bytes) -> tuple[bytes, bytes]:
    """Headline and place; all that follows them."""
    *first, rest = text.split(b"\r\n", OPENING_LINES)
    return b"\r\n".join(first) + b"\r\n", b"\r\n" + rest


def _end(label: str, link: str, language: str) -> bytes:
    return f"\r\n{label}{_separator(language)}\r\n{link}\r\n".encode()


def _separator(language: str) -> str:
    return "：" if language.startswith(("ja", "zh")) else ": "


def _encoded(text: str, header: str) -> str:
    # EmailMessage's own folding lost spaces in 132 of 3,000 mixed subjects, this in none (facts.md).
    return Header(text, "utf-8", header_name=header).encode(linesep="\r\n")


def _padded(text: bytes) -> bytes:
    """Filled up with spaces, which nobody sees, to whole base64 lines, so that more may follow."""
    return text + b" " * (-len(text) % LINE_BYTES)


def _base64_lines(data: bytes) -> bytes:
    lines = (data[at : at + LINE_BYTES] for at in range(0, len(data), LINE_BYTES))
    return b"".join(base64.b64encode(line) + b"\r\n" for line in lines)
