"""kill -9 at every step of a campaign: nobody is asked twice beyond what was under way, no answer and no timer is lost."""

import pytest

from tests.servers.killed_campaign import survive

PEOPLE, KILLS = 150, 4


@pytest.mark.timeout(180)
async def test_kill_9_at_every_step_of_a_campaign_loses_no_answer_and_no_timer(tmp_path, world):
    survived = await survive(tmp_path, world, people=PEOPLE, kills=KILLS, seed=4)
    assert survived.people == PEOPLE
    assert survived.kept > 0
    assert survived.answers_lost == 0
    assert survived.timers_lost == 0
    assert survived.repeats <= survived.window
    assert survived.most_questions <= 2
    assert not survived.complaints
