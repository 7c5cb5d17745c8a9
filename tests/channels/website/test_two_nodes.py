"""Two nodes of one ledger: what each site shows, as `todoke doctor` and the README say."""

import json
from pathlib import Path

from channels.website import Settings, Website
from dispatcher.clock import SystemClock
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import surroundings
from tests.samples import evacuation_order, retraction

ORDER = evacuation_order(Drill, sent=SystemClock().now().replace(microsecond=0))


def site(folder: Path, node: str) -> Website[Drill]:
    settings = Settings(folder=folder, url="https://bousai.example.jp")
    return Website(Drill, settings, surroundings(folder.parent / node))


def listed(channel: Website[Drill]) -> set[tuple[str, str]]:
    alerts = json.loads((channel.settings.folder / "alerts.json").read_bytes())["alerts"]
    return {(alert["identifier"], alert["verb"]) for alert in alerts}


def test_what_one_node_published_is_on_the_others_site_where_they_share_the_folder(tmp_path: Path):
    east, west = site(tmp_path / "shared", "east"), site(tmp_path / "shared", "west")
    for node in (east, west):
        node._publisher.rebuild()
    east._publisher.publish(east.render(ORDER, None))
    after = retraction(ORDER)
    west._publisher.publish(west.render(after, None))
    assert listed(east) == listed(west) == {(after.identifier, "retract")}
    east._publisher.refresh()
    assert listed(east) == {(after.identifier, "retract")}
    assert not list(east.settings.doubts(is_shared=False))


def test_with_a_folder_each_a_site_shows_its_own_nodes_messages_alone_and_the_doctor_says_so(tmp_path: Path):
    east, west = site(tmp_path / "east-site", "east"), site(tmp_path / "west-site", "west")
    for node in (east, west):
        node._publisher.rebuild()
    east._publisher.publish(east.render(ORDER, None))
    assert (listed(east), listed(west)) == ({(ORDER.identifier, "issue")}, set())
    ((field, words, to_do),) = east.settings.doubts(is_shared=True)
    assert field == "folder"
    assert str(east.settings.folder) in words
    assert "share the folder" in to_do
