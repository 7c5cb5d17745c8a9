"""What somebody tried against the desk who has a right to sit at it and wants more, or is careless, or tired.

Each test is a way that was once open; its docstring says what came out of it.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from dispatcher.errors import InvalidInput
from dispatcher.model.draft import State, Verb
from dispatcher.steps.accept import Typed
from tests.servers.seats import ORDER, WRITER, seats

# -- what one person may send alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["emergency-safety", "evacuation-order-lifted", "false-alarm"])
async def test_a_correction_alone_is_of_the_same_kind_of_message(tmp_path: Path, template: str):
    """緊急安全確保 for the whole city went out by one person, as the 訂正 of an order for one quarter; so did a 解除."""
    async with seats(tmp_path, "live") as s:
        identifier = await s.in_state(State.LIVE)
        other = Typed(template=template, areas=("三鷹市",), note="区域の誤り")
        with pytest.raises(InvalidInput, match="template: "):
            await s.desk.follow(WRITER, Verb.CORRECT, identifier, other, mode="live")
        assert (await s.ledger.alert(identifier)).state == "live"
        same = replace(other, template=ORDER.template, areas=())
        _, alert = await s.desk.follow(WRITER, Verb.CORRECT, identifier, same, mode="live")
        assert alert is not None


@pytest.mark.parametrize(
    ("verb", "template"),
    [
        (Verb.ISSUE, "evacuation-order-lifted"),
        (Verb.UPDATE, "evacuation-order-lifted"),
        (Verb.LIFT, "emergency-safety"),
        (Verb.RETRACT, "evacuation-order"),
    ],
)
async def test_a_template_is_used_for_its_own_verb(tmp_path: Path, verb: Verb, template: str):
    """A 発表 said 解除, and a 更新 that said it left its chain open."""
    async with seats(tmp_path) as s:
        of = await s.in_state(State.LIVE) if verb is not Verb.ISSUE else None
        typed = Typed(template=template, areas=("大沢",), verb=verb, of=of, note="区域の誤り")
        with pytest.raises(InvalidInput, match="template is for"):
            await s.desk.draft(WRITER, typed, mode="drill")


async def test_every_verb_but_the_first_says_what_it_follows(tmp_path: Path):
    """A 更新 of nothing was a draft like any other, and a 発表 could replace an alert that was out."""
    async with seats(tmp_path) as s:
        for verb in (Verb.UPDATE, Verb.CORRECT, Verb.LIFT, Verb.RETRACT):
            with pytest.raises(InvalidInput, match="of: "):
                await s.desk.draft(WRITER, replace(ORDER, template=None, verb=verb, note="区域の誤り"), mode="drill")
        identifier = await s.in_state(State.LIVE)
        with pytest.raises(InvalidInput, match="of: "):
            await s.desk.draft(WRITER, replace(ORDER, of=identifier), mode="drill")


# -- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["place", "sender", "contact", "issued", "next_update", "note", "nothing"])
async def test_what_the_city_or_the_clock_fills_in_is_nobodys_to_type(tmp_path: Path, name: str):
    """The headline of an order for one quarter called on 大沢と東京都全域, in the name of another government."""
    async with seats(tmp_path, "live") as s:
        with pytest.raises(InvalidInput, match=rf"words\.ja\.{name}: "):
            await s.desk.draft(WRITER, replace(ORDER, words={"ja": {name: "大沢と東京都全域"}}), mode="live")
        words = {"ja": {"cause": "野川があふれそうです", "shelters": "第七中学校"}}
        draft, _ = await s.desk.draft(WRITER, replace(ORDER, words=words), mode="live")
        assert (await s.desk.submit(WRITER, draft.identifier, mode="live"))[0].state is State.PENDING


@pytest.mark.parametrize("field", ["expires", "next_update"])
@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
)
async def test_a_time_at_the_end_of_the_calendar_is_refused_at_its_field(tmp_path: Path, field: str, time: str):
    """It was an internal error."""
    async with seats(tmp_path) as s:
        with pytest.raises(InvalidInput, match=f"{field}: "):
            await s.desk.draft(WRITER, replace(ORDER, **{field: time}), mode="drill")
