"""A node on loopback with the console in front of it, two people who can sign in, and a browser without a window or a script.

The node is whole: its website is read back over HTTP, its ledger is a file, its outbox runs. The browser keeps cookies, says
where its forms come from, and sends a page's own form with all its fields, as a browser without JavaScript would.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pyotp
import yaml
from argon2.profiles import CHEAPEST
from lxml import html
from yarl import URL

from config.site import bind_site
from dispatcher import node
from dispatcher.clock import SystemClock
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.accounts.passwords import Passwords
from dispatcher.staff.sessions import new_token
from drills.world.ports import free_port

WRITER, APPROVER = "職員0001", "職員0002"
PASSWORD = "そらいろの かさ 三本 と 長ぐつ"
OSAWA = [f"1320403{n:02d}" for n in range(1, 7)]
"""Its quarters."""
ROLES = {WRITER: ["admin", "originator"], APPROVER: ["admin", "approver"]}


@dataclass
class Page:
    """What came back: its status, headers and text, and its forms."""

    status: int
    url: str
    headers: Mapping[str, str]
    text: str

    @property
    def tree(self) -> Any:
        return html.fromstring(self.text.encode())

    @property
    def words(self) -> str:
        """What a person reads, without gaps."""
        body = self.tree.find(".//main")
        return re.sub(r"\s+", " ", unescape((body if body is not None else self.tree).text_content())).strip()

    def form(self, action: str) -> dict[str, str]:
        """Every field of the form that goes there, as it stands."""
        (form,) = self.tree.xpath(f'//form[@action="{action}"]')
        for area in form.xpath(".//textarea"):
            # A browser leaves out the line break right after the tag (HTML Standard §13.1.2.5); libxml2 does not know that.
            area.text = (area.text or "").removeprefix("\n")
        return dict(form.form_values())


@dataclass
class Browser:
    """One person's browser without scripts."""

    url: str
    session: aiohttp.ClientSession
    last: Page | None = field(default=None)

    async def get(self, path: str, **headers: str) -> Page:
        async with self.session.get(self.url + path, headers=headers, allow_redirects=False) as answer:
            return await self._page(answer)

    async def open(self, path: str) -> Page:
        """As get, following redirects."""
        async with self.session.get(self.url + path) as answer:
            return await self._page(answer)

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Page:
        """A form of our own page, as a browser sends it; the answer as it is."""
        said = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        said = {name: value for name, value in said.items() if value}
        async with self.session.post(self.url + path, data=fields, headers=said, allow_redirects=False) as answer:
            return await self._page(answer)

    async def send(self, page: Page, action: str, **typed: str) -> Page:
        """Fill a form that stands on a page, press its button, and follow where it leads."""
        done = await self.post(action, {**page.form(action), **typed})
        return await self.open(done.headers["Location"]) if done.status == 303 else done

    async def _page(self, answer: aiohttp.ClientResponse) -> Page:
        text = await answer.text()
        self.last = Page(answer.status, str(answer.url), answer.headers, text)
        return self.last


@dataclass
class Console:
    """The node, its accounts, and the way in."""

    url: str
    node: Any
    accounts: Accounts
    apps: Mapping[str, str]
    codes: Mapping[str, list[str]]
    tokens: dict[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[Browser]:
        """Nobody's yet."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(30)) as session:
            yield Browser(self.url, session)

    @asynccontextmanager
    async def signed_in(self, name: str) -> AsyncIterator[Browser]:
        """Somebody who came in a while ago."""
        async with self.browser() as browser:
            if self.codes[name]:  # a code works once; whoever has none left comes with the session of the last one
                session = await self.accounts.sign_in(name, PASSWORD, self.codes[name].pop(), "127.0.0.1", "test")
                self.tokens[name] = session.token
            browser.session.cookie_jar.update_cookies({"todoke-loopback": self.tokens[name]}, URL(self.url))
            yield browser

    async def sign_in(self, browser: Browser, name: str) -> Page:
        """By password and a recovery code: a code of the app may be used once in half a minute."""
        page = await browser.open("/signin")
        return await browser.send(page, "/signin", name=name, password=PASSWORD, code=self.codes[name].pop())

    def app_code(self, name: str) -> str:
        """What the authenticator of this person shows now."""
        return pyotp.TOTP(self.apps[name]).now()

    async def pending(self, template: str = "evacuation-order", areas: tuple[str, ...] = ("大沢",)) -> str:
        """A message that WRITER has submitted; its identifier."""
        from dispatcher.steps.accept import Typed

        writer = await self.person(WRITER)
        draft, _ = await self.node.desk.draft(writer, Typed(template=template, areas=areas), mode=self.node.desk.mode)
        await self.node.desk.submit(writer, draft.identifier, mode=self.node.desk.mode)
        return draft.identifier

    async def issued(self, template: str = "evacuation-order", areas: tuple[str, ...] = ("大沢",)) -> str:
        """A message that is out."""
        identifier = await self.pending(template, areas)
        approver, desk = await self.person(APPROVER), self.node.desk
        _, prepared = await desk.preview(approver, identifier)
        await desk.approve(approver, identifier, shown=prepared.hash, mode=desk.mode)
        return identifier

    async def person(self, name: str) -> Any:
        from dispatcher.staff.sessions import Person

        return Person(name, tuple(ROLES[name]))


def fields(page: Page, action: str) -> list[tuple[str, str]]:
    """Every field of the form, as pairs: an area has many."""
    (form,) = page.tree.xpath(f'//form[@action="{action}"]')
    # A browser leaves out the line break after <textarea>; this parser does not.
    return [(name, value.removeprefix("\n")) for name, value in form.form_values()]


def typed(pairs: list[tuple[str, str]], **values: str | list[str]) -> list[tuple[str, str]]:
    """The same form with other words in these fields."""
    names = {name.replace("__", "."): value for name, value in values.items()}
    kept = [(name, value) for name, value in pairs if name not in names]
    return [
        *kept,
        *((name, one) for name, value in names.items() for one in (value if isinstance(value, list) else [value])),
    ]


@asynccontextmanager
async def console(
    folder: Path,
    *,
    mode: str = "drill",
    website: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    also: Mapping[str, list[str]] | None = None,
    **more: Any,
) -> AsyncIterator[Console]:
    """Inside `async with`, headquarters is open. `website`: what its settings say instead of a site that works.

    `host` is what browsers call it: passkeys need a name. `also`: other roles of the two
    people, `more` is what else the site file says.
    """
    public, door = f"127.0.0.1:{free_port()}", f"{host}:{free_port()}"
    tokens = {name: new_token()[1] for name in (WRITER, APPROVER)}
    url = f"http://{public}"
    described = {
        "mode": mode,
        "node": "test",
        "state_dir": str(folder / "state"),
        "city": "mitaka",
        "residents": {"listen": public, "url": url},
        "control": {"listen": door},
        "staff": [
            {"name": "職員0003", "roles": ["originator"], "token_hash": tokens[WRITER]},
            {"name": "職員0004", "roles": ["approver"], "token_hash": tokens[APPROVER]},
        ],
        "channels": {"website": {"folder": str(folder / "site"), "url": url, **(website or {})}},
        **more,
    }
    text = yaml.safe_dump(described, allow_unicode=True).encode()
    site = bind_site(text, "site.yaml", folder, {kind: channel.Settings for kind, channel in node.kinds().items()})
    async with node.running(site) as running:
        # The first two are founded at the machine, with passwords that cost little to check.
        accounts = Accounts(running.ledger, SystemClock(), mode, passwords=Passwords(CHEAPEST))
        apps, codes = {}, {}
        for name, roles in {**ROLES, **(also or {})}.items():
            enrolling, enrolled = await accounts.at_machine.found(name, roles, PASSWORD)
            apps[name], codes[name] = enrolling.secret, list(enrolled.recovery_codes)
        yield Console(f"http://{door}", running, accounts, apps, codes)


async def until(condition: Any, what: str, within_s: float = 20.0) -> Any:
    """Wait for an asynchronous condition; gives what it gave."""
    clock = SystemClock()
    end_s = clock.monotonic() + within_s
    while clock.monotonic() < end_s:
        if found := await condition():
            return found
        await clock.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {what}")


def data(text: str) -> Any:
    return json.loads(text)
