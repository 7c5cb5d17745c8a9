"""施設・到達 at the desk: the list to call from the top down, 電話済, and what a dry run leaves behind."""

import pytest

from dispatcher.ledgers.rehearsal import Rehearsal
from tests.servers.console import WRITER, console, until
from tests.servers.told_first import line, register


@pytest.fixture
def facilities(tmp_path):
    """The block of a site file: two facilities that have a telephone and nothing else."""
    (tmp_path / "links").write_text("k" * 48)
    (tmp_path / "links").chmod(0o600)
    lines = [line(f"F00{n}", kind="care_home", mails="", phones=f"0422-00-000{n}") for n in (1, 2)]
    return {"register": str(register(tmp_path, *lines)), "secret": {"file": "links"}}


async def test_a_facility_is_called_from_the_page_and_stands_below_those_who_said_nothing(tmp_path, facilities):
    async with console(tmp_path, facilities=facilities) as headquarters, headquarters.signed_in(WRITER) as browser:
        identifier = await headquarters.issued()
        page = await browser.open(f"/alerts/{identifier}/facilities")
        assert page.status == 200
        assert "高齢者施設" in page.words
        assert "0422-00-0001" in page.words
        done = await browser.send(page, f"/alerts/{identifier}/facilities/F001", spoke_with="施設長")
        assert "施設長" in done.words
        lines = await headquarters.node.reach.facilities(identifier)
        assert [(each.facility.id, each.acknowledged is not None) for each in lines] == [
            ("F002", False),
            ("F001", True),
        ]
        assert "施設F001に電話した（応答あり）" in (await browser.open(f"/progress?alert={identifier}")).words


async def test_a_dry_run_of_a_call_says_what_it_would_and_writes_nothing(tmp_path, facilities):
    async with console(tmp_path, facilities=facilities) as headquarters:
        identifier = await headquarters.issued()
        desk, by = headquarters.node.desk, await headquarters.person(WRITER)
        forgetful = Rehearsal(headquarters.node.ledger)

        async def fresh(_by, _code):
            return True

        reached = await desk.rehearsing(forgetful, fresh).telephoned(by, identifier, "F001", spoke_with="施設長")
        assert reached.acknowledged.medium == "phone"
        assert [event.name for event in forgetful.said if event.name == "facility.telephoned"]
        assert len(await headquarters.node.reach.unacknowledged(identifier)) == 2


async def test_the_link_of_a_facility_is_served_on_the_residents_listener(tmp_path, facilities):
    async with console(tmp_path, facilities=facilities) as headquarters, headquarters.browser() as browser:
        browser.url = headquarters.node.path.web

        async def is_up():
            return (await browser.get(f"/k/{'a' * 26}")).status == 404

        await until(is_up, "the residents' listener answers")
        page = await browser.get(f"/k/{'a' * 26}")
        assert "このリンクは もう使えません" in page.words
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
