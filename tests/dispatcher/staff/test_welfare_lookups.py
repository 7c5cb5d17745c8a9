"""Looking people up is written down before anything is shown, and ends after so many an hour."""

from pathlib import Path

import pytest

from dispatcher.clock import ManualClock
from dispatcher.errors import InvalidInput, Throttled
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.staff.lookups import AN_HOUR, LookUps, require_reason, require_why
from dispatcher.staff.sessions import Person
from tests.samples import SENT

WELFARE = Person("職員0005", ("welfare",))


async def test_so_many_an_hour_and_the_next_hour_again(tmp_path: Path):
    clock = ManualClock(SENT)
    async with open_ledger(f"sqlite:///{tmp_path / 'todoke.db'}", mode=Drill, node="test", clock=clock) as ledger:
        lookups = LookUps(ledger, clock)
        for _ in range(AN_HOUR):
            await lookups.count(WELFARE, "resident.searched", "c1", {"reason": "inquiry"})
        with pytest.raises(Throttled):
            await lookups.count(Person("職員０００５", ("welfare",)), "resident.searched", "c1", {})
        await lookups.count(Person("職員0006", ("welfare",)), "resident.searched", "c1", {})
        clock.advance(3600)
        await lookups.count(WELFARE, "resident.searched", "c1", {"reason": "inquiry"})
        names = [r.event.name for r in await ledger.story(limit=1000)]
        assert names.count("resident.searched") == AN_HOUR + 2
        assert names.count("look-up.capped") == 1
        assert not await ledger.verify()


@pytest.mark.parametrize("reason", ["", "  ", "あ", "わけ", "理" * 301])
def test_a_reason_that_says_nothing_is_none(reason: str):
    with pytest.raises(InvalidInput, match="say why"):
        require_reason(reason)


def test_a_reason_is_kept_on_one_line():
    assert require_reason(" 安否の照会\nへの対応 ") == "安否の照会 への対応"


@pytest.mark.parametrize("reason", ["", "住民0001の母から", "INQUIRY"])
def test_why_somebody_is_looked_up_is_chosen_from_a_list_so_that_no_name_stands_in_it(reason: str):
    with pytest.raises(InvalidInput, match="inquiry"):
        require_why(reason)
