"""Telegrams from a folder, a feed and a POST, each over the real thing; who is not believed is not read."""

import asyncio
import datetime as dt
import io
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml import methods
from signxml.signer import XMLSigner

from config.intake.settings import Feed, Folder, Post
from config.intake.settings import Intake as Settings
from dispatcher import cap
from dispatcher.clock import SystemClock
from dispatcher.errors import InvalidInput, Unauthenticated
from dispatcher.intake.signature import Trust
from dispatcher.intake.sources import Sources
from dispatcher.intake.sources.feed import FeedSource
from dispatcher.intake.sources.folder import FolderSource
from dispatcher.intake.sources.post import PREFIX, application
from dispatcher.intake.taking import Intake, rules_of
from dispatcher.listening import listening
from dispatcher.model.mode import Live
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.accounts.tokens import Bearer
from dispatcher.staff.sessions import Person
from tests.dispatcher.intake.telegrams import MITAKA, Weather
from tests.samples import SENT, evacuation_order
from tests.servers.seats import Seats, seats

HOURS = 6 * 3600.0
LIFTED = ((MITAKA, (("大雨警報", "03", "解除"),)),)
ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom"><id>f</id><title>高頻度</title><updated>{at}</updated>{entries}</feed>'
)


@asynccontextmanager
async def desk(folder) -> AsyncIterator[tuple[Seats, Intake]]:
    async with seats(folder, "live") as at:
        yield at, Intake(at.desk, at.ledger, at.clock, rules_of("mitaka", "people-only"))


async def drafts(at: Seats) -> int:
    return len(await at.ledger.drafts())


async def taken(at: Seats) -> list[str]:
    """Decisions, the first one first."""
    return [e.facts["decision"] for e in reversed(await at.events("intake.taken"))]


# -- a folder --------------------------------------------------------------------------------------------------------


def drop(folder, name: str, data: bytes, at: dt.datetime = SENT) -> None:
    """As a receiver does: written elsewhere, then moved."""
    (folder / f".{name}").write_bytes(data)
    os.utime(folder / f".{name}", (at.timestamp(), at.timestamp()))
    (folder / f".{name}").rename(folder / name)


async def test_a_folder_is_read_in_the_order_in_which_it_was_written_and_each_file_once(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    warning = Weather(event_id="A", serial="1")
    drop(inbox, "b.xml", warning.xml(), SENT - dt.timedelta(minutes=5))
    drop(inbox, "a.xml", warning.later(1, serial="2", says=LIFTED).xml(), SENT)
    async with desk(tmp_path) as (at, intake):
        source = FolderSource(intake, Folder(path=inbox), at.clock, oldest_s=HOURS)
        await source.look()
        await source.look()
        assert await taken(at) == ["draft", "lift"]
        drop(inbox, "c.xml", warning.later(2, serial="3").xml())
        await source.look()
        assert await taken(at) == ["draft", "lift", "draft"]


async def test_a_folder_gives_nothing_old_nothing_else_than_xml_and_follows_no_link(tmp_path):
    inbox, outside = tmp_path / "inbox", tmp_path / "outside.xml"
    inbox.mkdir()
    outside.write_bytes(Weather(event_id="A").xml())
    (inbox / "link.xml").symlink_to(outside)
    (inbox / "note.txt").write_bytes(Weather(event_id="B").xml())
    (inbox / "folder.xml").mkdir()
    drop(inbox, "old.xml", Weather(event_id="C").xml(), SENT - dt.timedelta(hours=7))
    async with desk(tmp_path) as (at, intake):
        await FolderSource(intake, Folder(path=inbox), at.clock, oldest_s=HOURS).look()
        assert await drafts(at) == 0


async def test_a_broken_file_is_written_down_once_and_holds_up_nothing(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    drop(inbox, "a.xml", b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>")
    drop(inbox, "b.xml", Weather().xml())
    async with desk(tmp_path) as (at, intake):
        source = FolderSource(intake, Folder(path=inbox), at.clock, oldest_s=HOURS)
        await source.look()
        await source.look()
        assert len(await at.events("intake.refused")) == 1
        assert await drafts(at) == 1


async def test_a_share_that_is_not_mounted_disturbs_no_other_source(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    drop(inbox, "a.xml", Weather().xml())
    settings = Settings(folders=(Folder(path=tmp_path / "gone", every=1.0), Folder(path=inbox, every=1.0)))
    async with desk(tmp_path) as (at, intake), asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Sources(intake, settings, at.clock).run())
        await until(at, 1)
        (tmp_path / "gone").mkdir()
        drop(tmp_path / "gone", "b.xml", Weather(event_id="B").later(1).xml(), SENT + dt.timedelta(minutes=5))
        await until(at, 2)
        running.cancel()


async def until(at: Seats, many: int) -> None:
    """Move the clock until there are so many drafts."""
    while await drafts(at) < many:
        at.clock.advance(1)
        await at.ledger.changed(1_000_000, 0.02)


# -- a feed ----------------------------------------------------------------------------------------------------------


class Publisher:
    """A real HTTP server with an Atom feed and the telegrams that it links to."""

    def __init__(self):
        self.telegrams: dict[str, bytes] = {}
        self.entries: list[str] = []
        self.asked: list[tuple[str, int]] = []
        self.broken: set[str] = set()
        self.packed = False

    def add(
        self, name: str, telegram: Weather, href: str = "", updated: dt.datetime | None = None, kind="application/xml"
    ) -> None:
        self.telegrams[name] = telegram.xml()
        at = (updated or telegram.reported).isoformat()
        link = f'<link type="{kind}" href="{href or f"/data/{name}.xml"}"/>'
        self.entries.append(f"<entry><id>urn:{name}</id><title>{name}</title><updated>{at}</updated>{link}</entry>")

    async def feed(self, request: web.Request) -> web.Response:
        body = ATOM.format(at=SENT.isoformat(), entries="".join(self.entries)).encode()
        tag = f'"{len(self.entries)}"'
        status = 304 if request.headers.get("If-None-Match") == tag else 200
        self.asked.append(("feed", status))
        headers = {"ETag": tag} | ({"Content-Encoding": "gzip"} if self.packed else {})
        return web.Response(status=status, body=None if status == 304 else body, headers=headers)

    async def telegram(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.broken:
            self.asked.append((name, 503))
            return web.Response(status=503)
        self.asked.append((name, 200))
        return web.Response(body=self.telegrams[name], content_type="application/xml")

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        app = web.Application()
        app.add_routes([web.get("/feed.xml", self.feed), web.get("/data/{name}.xml", self.telegram)])
        runner = web.AppRunner(app, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            yield f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}/feed.xml"
        finally:
            await runner.cleanup()


async def test_a_feed_is_asked_with_its_etag_and_each_entry_is_fetched_once(tmp_path):
    publisher = Publisher()
    publisher.add("one", Weather(event_id="A", serial="1"))
    async with desk(tmp_path) as (at, intake), publisher.serving() as url:
        source = FeedSource(intake, Feed(url=url), at.clock, oldest_s=HOURS)
        await source.look()
        await source.look()
        assert publisher.asked == [("feed", 200), ("one", 200), ("feed", 304)]
        publisher.add("two", Weather(event_id="A", serial="2", says=LIFTED).later(1))
        await source.look()
        assert publisher.asked[3:] == [("feed", 200), ("two", 200)]
        assert await taken(at) == ["draft", "lift"]


async def test_an_entry_cannot_send_us_elsewhere_and_what_is_old_is_not_fetched(tmp_path):
    publisher, other = Publisher(), Publisher()
    other.add("trap", Weather(event_id="T"))
    async with desk(tmp_path) as (at, intake), publisher.serving() as url, other.serving() as trap:
        publisher.add("trap", Weather(event_id="T"), href=trap.replace("feed.xml", "data/trap.xml"))
        publisher.add("file", Weather(event_id="F"), href="file:///etc/passwd.xml")
        publisher.add("odd", Weather(event_id="O"), href="http://[::1/x.xml")
        publisher.add("old", Weather(event_id="X"), updated=SENT - dt.timedelta(hours=7))
        await FeedSource(intake, Feed(url=url), at.clock, oldest_s=HOURS).look()
        assert publisher.asked == [("feed", 200)]
        assert other.asked == []
        assert await drafts(at) == 0


async def test_an_entry_that_fails_is_asked_again_and_holds_up_no_other(tmp_path):
    publisher = Publisher()
    publisher.add("bad", Weather(event_id="A"))
    publisher.add("good", Weather(event_id="B").later(1))
    publisher.broken.add("bad")
    async with desk(tmp_path) as (at, intake), publisher.serving() as url:
        source = FeedSource(intake, Feed(url=url), at.clock, oldest_s=HOURS)
        with pytest.raises(OSError, match="answered 503"):
            await source.look()
        assert await drafts(at) == 1
        publisher.broken.clear()
        await source.look()
        assert publisher.asked[-2:] == [("feed", 200), ("bad", 200)]
        assert await drafts(at) == 2


async def test_a_feed_of_cap_is_read_over_tls_from_whom_its_name_belongs_to_and_its_signer_signed(tmp_path):
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    key, made, pinned = certificate(tmp_path, "pref")
    publisher = Publisher()
    for name, data in {"signed": signed(ORDER, key, made), "unsigned": ORDER}.items():
        publisher.add(name, Weather(), kind="application/cap+xml")
        publisher.telegrams[name] = data
    async with desk(tmp_path) as (at, intake), publisher.serving(context) as url:
        stranger = FeedSource(intake, Feed(url=url), at.clock, oldest_s=HOURS)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await stranger.look()
        known = Feed(url=url, ca=tmp_path / "ca.crt", signers=(pinned,))
        await FeedSource(intake, known, at.clock, oldest_s=HOURS).look()
        assert await taken(at) == ["draft"]
        (refused,) = await at.events("intake.refused")
        assert "pinned" in refused.facts["reasons"][0]
        assert "unsigned.xml" in refused.facts["source"]


@pytest.mark.parametrize("packed", [True, False])
async def test_a_feed_that_is_none_or_comes_packed_is_a_failure_of_the_source(packed, tmp_path):
    publisher = Publisher()
    publisher.packed = packed
    async with desk(tmp_path) as (at, intake), publisher.serving() as url:
        bad = Feed(url=url if packed else url.replace("feed.xml", "data/nothing.xml"))
        publisher.telegrams["nothing"] = b"<html/>"
        with pytest.raises(OSError, match="packed" if packed else "no Atom feed"):
            await FeedSource(intake, bad, at.clock, oldest_s=HOURS).look()


# -- a signature -----------------------------------------------------------------------------------------------------


def certificate(folder, name: str):
    """A key, its certificate as PEM, and the file that it is pinned by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = SystemClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.crt"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key, made, path


def signed(data: bytes, key, made) -> bytes:
    signer = XMLSigner(method=methods.enveloped, signature_algorithm="ecdsa-sha256")
    return etree.tostring(signer.sign(etree.fromstring(data), key=key, cert=[made]), encoding="UTF-8")


ORDER = cap.write(evacuation_order(Live))


async def test_a_signature_is_believed_by_the_pinned_certificate_alone(tmp_path):
    key, made, pinned = certificate(tmp_path, "pref")
    stranger = certificate(tmp_path, "stranger")
    trust = Trust((pinned,))
    assert cap.read(trust.opened(signed(ORDER, key, made))) == cap.read(ORDER)
    for bad in (
        ORDER,
        signed(ORDER, *stranger[:2]),
        signed(ORDER, key, made).replace("大沢".encode(), "牟礼".encode(), 1),
    ):
        with pytest.raises(InvalidInput, match="not signed by a pinned certificate"):
            trust.opened(bad)
    assert Trust((stranger[2], pinned)).opened(signed(ORDER, key, made))  # two stand there while keys change


async def test_only_what_was_signed_is_read(tmp_path):
    key, made, pinned = certificate(tmp_path, "pref")
    order = etree.fromstring(signed(ORDER, key, made))
    signature = order.find("{http://www.w3.org/2000/09/xmldsig#}Signature")
    # A good signature, moved away from what it stands for: around, below, and into another message.
    around = etree.Element("{urn:oasis:names:tc:emergency:cap:1.2}alert")
    around.append(etree.fromstring(etree.tostring(order)))
    other = etree.fromstring(ORDER)
    other.find("{*}identifier").text = "another"
    other.append(etree.fromstring(etree.tostring(signature)))
    below = etree.fromstring(etree.tostring(order))
    below[-2].append(below.find("{http://www.w3.org/2000/09/xmldsig#}Signature"))
    for forged in (around, other, below):
        with pytest.raises(InvalidInput, match="not signed by a pinned certificate"):
            Trust((pinned,)).opened(etree.tostring(forged))


# -- a POST ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def posting(folder, signers=()) -> AsyncIterator[tuple[Seats, str, aiohttp.ClientSession]]:
    people = {
        "t" * 20: Bearer(Person("県", ("intake",)), frozenset({Scope.INTAKE}), "県", "1"),
        "r" * 20: Bearer(Person("職員0003", ("viewer",)), frozenset({Scope.READ}), "", "2"),
    }

    async def find(token: str) -> Bearer:
        if token not in people:
            raise Unauthenticated("unknown")
        return people[token]

    async with desk(folder) as (at, intake):
        app = web.Application()
        app.add_subapp(PREFIX, application(intake, Post(signers=signers), find))
        async with listening(app, "127.0.0.1", 0) as (host, port), aiohttp.ClientSession() as session:
            yield at, f"http://{host}:{port}{PREFIX}", session


def headers(token: str = "t" * 20, kind: str = "application/cap+xml") -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": kind}


async def test_cap_by_post_becomes_a_draft_for_the_quarters_that_it_names(tmp_path):
    async with posting(tmp_path) as (at, url, session):
        async with session.post(url, data=ORDER, headers=headers()) as answer:
            said = await answer.json()
        assert (answer.status, said["decision"], said["template"], said["type"]) == (
            200,
            "draft",
            "agency-notice",
            "CAP",
        )
        _, body = await at.ledger.draft(said["draft"])
        assert len(body["quarters"]) == 6
        assert body["wording"][0]["description"].startswith("大沢の人は いますぐ避難。")
        async with session.post(url, data=ORDER, headers=headers()) as answer:
            assert (await answer.json())["decision"] == "ignored"


async def test_jma_by_post_is_read_too(tmp_path):
    async with posting(tmp_path) as (_, url, session):
        answer = await session.post(url, data=Weather().xml(), headers=headers(kind="text/xml"))
        assert (await answer.json())["type"] == "VPWW54"


@pytest.mark.parametrize(
    ("given", "data", "status"),
    [
        ({}, ORDER, 401),
        (headers("x" * 20), ORDER, 401),
        (headers("r" * 20), ORDER, 403),
        (headers(kind="application/json"), ORDER, 415),
        (headers() | {"Content-Encoding": "gzip"}, ORDER, 415),
        (headers(), b"", 422),
        (headers(), b"<alert/>", 422),
        (headers(), b"<!DOCTYPE a []><a/>", 422),
        (headers(), b"x" * 5_000_000, 422),
    ],
    ids=["no token", "unknown", "no scope", "type", "packed", "empty", "not cap", "dtd", "long"],
)
async def test_what_is_not_let_in_is_a_problem_with_its_reason(given, data, status, tmp_path):
    async with posting(tmp_path) as (at, url, session):
        async with session.post(url, data=io.BytesIO(data), headers=given) as answer:
            said = await answer.json(content_type=None)
        assert answer.status == status == said["status"]
        assert answer.content_type == "application/problem+json"
        assert said["detail"]
        assert bool(said["findings"]) is (status == 422)
        assert await drafts(at) == 0


async def test_where_a_signer_is_pinned_a_token_alone_is_not_enough(tmp_path):
    key, made, pinned = certificate(tmp_path, "pref")
    async with posting(tmp_path, (pinned,)) as (at, url, session):
        async with session.post(url, data=ORDER, headers=headers()) as answer:
            assert answer.status == 422
            assert "pinned" in await answer.text()
        assert await drafts(at) == 0
        async with session.post(url, data=signed(ORDER, key, made), headers=headers()) as answer:
            assert answer.status == 200
        assert await drafts(at) == 1
