"""Keys of the media as an admin sees them: which there are and their dates, never what they say."""

from datetime import datetime, timedelta

from channels.social import Social
from config.cities import load
from config.former import Former
from config.secret import Secret
from dispatcher.channel import Surroundings
from dispatcher.clock import JST, ManualClock
from dispatcher.model.mode import Drill
from dispatcher.staff.console.admin import keys_of
from tests.samples import SENT

SAID = "what nobody may read"


def test_keys_are_shown_by_their_dates_alone(tmp_path):
    file = tmp_path / "key"
    file.write_text(SAID, "utf-8")
    formers = (Former("older", SENT + timedelta(days=3)), Former("oldest", SENT - timedelta(days=3)))
    inside = Secret(SAID, "file key", file, formers)
    outside = Secret(SAID, "env X_KEY")
    settings = Social.Settings(
        account="todoke",
        consumer_key=inside,
        consumer_secret=outside,
        access_token=outside,
        access_token_secret=outside,
    )
    channel = Social(Drill, settings, Surroundings(ManualClock(SENT), load("mitaka"), tmp_path, "http://127.0.0.1"))
    found = {key.where: key for key in keys_of({"social": channel}, SENT)}
    assert set(found) == {"consumer_key", "consumer_secret", "access_token", "access_token_secret"}
    assert found["consumer_key"].since == datetime.fromtimestamp(file.stat().st_mtime, JST)
    assert found["consumer_key"].former_until == SENT + timedelta(days=3)
    assert found["consumer_secret"].since is None
    assert SAID not in repr(found)
