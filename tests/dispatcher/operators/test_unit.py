"""The unit that is printed for a site file: what systemd's own checker says of it, and what the node may touch."""

import configparser
import shutil
import subprocess

import pytest

from dispatcher.operators.unit import unit


class Repeating(dict):
    """systemd's keys may stand more than once; their values add up."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def read(text):
    parser = configparser.RawConfigParser(strict=False, dict_type=Repeating)
    parser.optionxform = str
    parser.read_string(text)
    return {section: {k: v.split("\n") for k, v in parser.items(section)} for section in parser.sections()}


def printed(city_hall, capsys, *words):
    capsys.readouterr()
    assert city_hall.todoke("systemd-unit", "--program", "/usr/bin/true", *words) == 0
    return capsys.readouterr().out


def test_the_unit_waits_for_readiness_watches_and_restarts(city_hall, capsys):
    service = read(printed(city_hall, capsys))["Service"]
    assert service["Type"] == ["notify"]
    assert int(service["WatchdogSec"][0]) > 10, "a busy ledger is waited for that long"
    assert service["Restart"] == ["always"]
    assert service["ExecStart"] == [f"/usr/bin/true serve {city_hall.file}"]
    assert service["User"] == ["todoke"]


def test_the_node_may_write_where_it_says_that_it_writes_and_nowhere_else(city_hall, tmp_path, capsys):
    drop = tmp_path / "share" / "catv"
    drop.mkdir(parents=True)
    operators = [{"name": "catv-1", "drop": str(drop)}]
    city_hall.change(channels={"cable_tv": {"operators": operators}})
    service = read(printed(city_hall, capsys))["Service"]
    assert service["ProtectSystem"] == ["strict"]
    assert set(service["ReadWritePaths"]) == {str(tmp_path / "state"), str(tmp_path / "site"), str(drop)}


def test_low_ports_are_bound_only_where_the_site_file_has_one(city_hall, capsys):
    assert read(printed(city_hall, capsys))["Service"]["CapabilityBoundingSet"] == [""]
    city_hall.change(residents={"listen": "127.0.0.1:80", "url": city_hall.url})
    service = read(printed(city_hall, capsys))["Service"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == ["CAP_NET_BIND_SERVICE"]


def test_odd_characters_of_a_path_stand_for_themselves(city_hall, tmp_path):
    text = unit(city_hall.site(), tmp_path / 'a b%n"$HOME.yaml', tmp_path / "todoke", "todoke")
    assert f'serve "{tmp_path}/a b%%n\\"$$HOME.yaml"' in text


@pytest.mark.parametrize("name", ["", "a b", "root\nExecStart=/bin/sh", "-x", "%n"])
def test_a_user_that_is_none_is_refused(city_hall, name, capsys):
    assert city_hall.todoke("systemd-unit", f"--user={name}") == 2
    assert "--user" in capsys.readouterr().err


def test_systemds_own_checker_finds_nothing_to_say(city_hall, tmp_path, capsys):
    checker = shutil.which("systemd-analyze") or "/usr/bin/systemd-analyze"
    file = tmp_path / "todoke.service"
    file.write_text(printed(city_hall, capsys, "--user", "root"), "utf-8")
    done = subprocess.run(
        [checker, "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "todoke" in line]
    assert said == []
