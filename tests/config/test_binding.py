"""A site file is bound whole or refused whole: every problem at once, each with its line, its path and what is accepted."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from config.binding import bind, effective
from config.document import ConfigError, parse
from config.secret import Secret
from config.units import (
    BIT_RATE,
    DURATION,
    FREQUENCY,
    SIZE,
    BitsPerSecond,
    Bytes,
    PerSecond,
    Seconds,
    write,
)
from config.units import (
    parse as quantity,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    host: str
    port: int = 25
    password: Secret | None = None

    def problems(self) -> Iterable[tuple[str, str]]:
        if not 0 < self.port < 65536:
            yield "port", "1 to 65535 is accepted"
        if self.host == "localhost" and self.password is None:
            yield "password", "localhost needs one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    name: str
    mode: Literal["live", "drill"]
    colour: Colour = Colour.RED
    folder: Path = Path("/nowhere")
    is_on: bool = False
    ratio: float = 0.5
    timeout: Seconds = 5.0
    rate: BitsPerSecond = 1_000_000
    size: Bytes = 1024
    pace: PerSecond = 10.0
    relays: tuple[Relay, ...] = ()
    lanes: Mapping[str, Relay] = field(default_factory=dict)
    kinds: Mapping[str, Any] = field(default_factory=dict)


KINDS = {"kinds": {"mail": Relay}}


def bound(text, base=Path("/base")):
    document, found = parse(text.encode(), "site.yaml")
    return bind(Settings, document, file="site.yaml", base=base, kinds=KINDS, found=found)


def reasons(text, base=Path("/base")):
    with pytest.raises(ConfigError) as refused:
        bound(text, base)
    return str(refused.value).splitlines()


def test_every_type_that_a_field_may_have_is_bound():
    settings = bound("""
name: 0422-00-0000
mode: drill
colour: blue
folder: state/x
is_on: true
ratio: 0.25
timeout: 1.5 min
rate: 2 Mbit/s
size: 4 KiB
pace: 30 /min
relays:
  - {host: a}
  - {host: b, port: 587}
lanes: {x: {host: c}}
kinds: {mail: {host: d}}
""")
    assert settings == Settings(
        name="0422-00-0000",
        mode="drill",
        colour=Colour.BLUE,
        folder=Path("/base/state/x"),
        is_on=True,
        ratio=0.25,
        timeout=90.0,
        rate=2_000_000,
        size=4096,
        pace=0.5,
        relays=(Relay(host="a"), Relay(host="b", port=587)),
        lanes={"x": Relay(host="c")},
        kinds={"mail": Relay(host="d")},
    )


def test_unknown_missing_duplicate_ill_typed_keys_and_wrong_units_are_named_all_at_once():
    assert reasons("""\
nmae: x
mode: dril
mode: drill
colour: green
is_on: maybe
ratio: half
timeout: 30
rate: 6 MB
size: [1]
relays:
  - {host: a, port: "25"}
  - {port: 99999}
  - localhost
lanes: []
kinds:
  mial: {host: a}
  mail:
    hots: a
    host: localhost
""") == [
        "site.yaml:1: name: missing; text is needed",
        "site.yaml:1: nmae: unknown key; did you mean name?",
        "site.yaml:2: mode: 'dril' is not accepted; there are live, drill",
        "site.yaml:3: mode: stands twice; first in line 2",
        "site.yaml:4: colour: 'green' is not accepted; there are red, blue",
        "site.yaml:5: is_on: 'maybe' is not true or false",
        "site.yaml:6: ratio: 'half' is not a number",
        "site.yaml:7: timeout: '30' is not a duration; a number and one of ms, s, min, h, d is accepted",
        "site.yaml:8: rate: '6 MB' is not a bit rate; a number and one of bit/s, kbit/s, Mbit/s, Gbit/s is accepted",
        "site.yaml:9: size: a size (B, kB, MB, GB, KiB, MiB) is needed, not a list",
        'site.yaml:11: relays[0].port: "25" in quotes is not a whole number',
        "site.yaml:12: relays[1].host: missing; text is needed",
        "site.yaml:12: relays[1].port: 1 to 65535 is accepted",
        "site.yaml:13: relays[2]: a mapping of keys is needed here",
        "site.yaml:14: lanes: a mapping is needed",
        "site.yaml:16: kinds.mial: no such kind; did you mean mail?",
        "site.yaml:17: kinds.mail.password: localhost needs one",
        "site.yaml:18: kinds.mail.hots: unknown key; did you mean host?",
    ]  # fmt: skip


@pytest.mark.parametrize("empty", ["", "~", "null"])
def test_a_key_without_a_value_is_missing_its_value(empty):
    assert reasons(f"name: {empty}\nmode: live\n") == ["site.yaml:1: name: text is needed"]


@pytest.mark.parametrize(
    "line",
    [
        "is_on: yes", "is_on: 1", 'is_on: "true"', "ratio: nan", "ratio: inf", "ratio: 1_000", "ratio: ５", "ratio: 1e3",
        "timeout: -1 s", "timeout: 1e3 s", "timeout: 5 sec", "timeout: ５ s", "timeout: 5 MB", f"timeout: {'9' * 400} s",
        f"size: {'9' * 400} B", f"ratio: {'9' * 5000}", "relays: {host: a}", "relays: a", "folder: [a]", "folder: ''",
        "colour: RED", "lanes: {x: y}", "kinds: [mail]", "name: [x]", "name: {a: b}",
    ],
)  # fmt: skip
def test_what_is_not_of_the_fields_type_is_refused(line):
    key = line.partition(":")[0]
    text = "".join(f"{known}\n" for known in ("name: x", "mode: live") if not known.startswith(f"{key}:")) + line
    (reason,) = reasons(text)
    assert reason.startswith(f"site.yaml:{text.count(chr(10)) + 1}: {key}")
    assert len(reason) < 200


class TestASecret:
    SITE = "name: x\nmode: live\nrelays:\n  - {host: a, password: {file: keys/x}}\n"

    @pytest.fixture
    def key(self, tmp_path):
        (tmp_path / "keys").mkdir()
        path = tmp_path / "keys/x"
        path.write_text("canary\n")
        path.chmod(0o600)
        return path

    def test_comes_from_a_file_beside_the_site_file(self, key):
        assert bound(self.SITE, key.parent.parent).relays[0].password.reveal() == "canary"

    def test_comes_from_the_environment(self, monkeypatch):
        monkeypatch.setenv("TODOKE_TEST_KEY", "canary")
        settings = bound(self.SITE.replace("file: keys/x", "env: TODOKE_TEST_KEY"))
        assert settings.relays[0].password.reveal() == "canary"
        monkeypatch.delenv("TODOKE_TEST_KEY")
        (reason,) = reasons(self.SITE.replace("file: keys/x", "env: TODOKE_TEST_KEY"))
        assert reason == "site.yaml:4: relays[0].password: the environment has no TODOKE_TEST_KEY"

    def test_never_stands_in_the_site_file_nor_in_the_reason(self):
        for written in ("canary", "{text: canary}", "{file: a, env: canary}", "[canary]"):
            (reason,) = reasons(self.SITE.replace("{file: keys/x}", written))
            assert reason.endswith("a secret never stands here; write {file: PATH} or {env: NAME}")
            assert "canary" not in reason

    def test_that_everybody_can_read_is_refused(self, key):
        key.chmod(0o644)
        (reason,) = reasons(self.SITE, key.parent.parent)
        assert reason.endswith("relays[0].password: keys/x can be read by everybody; chmod 600 it")

    def test_that_is_missing_empty_binary_or_no_file_is_refused(self, key):
        base = key.parent.parent
        for content, words in (
            (b"", "is empty"),
            (b" \n", "is empty"),
            (b"\xff\xfe", "not UTF-8"),
            (b"x" * 70_000, "no file"),
        ):
            key.write_bytes(content)
            assert words in reasons(self.SITE, base)[0]
        key.unlink()
        assert "No such file" in reasons(self.SITE, base)[0]
        os.mkfifo(key, 0o600)
        assert "no file" in reasons(self.SITE, base)[0]


def test_the_effective_file_has_every_default_and_no_secret(monkeypatch):
    monkeypatch.setenv("TODOKE_TEST_KEY", "canary")
    written = "name: x\nmode: live\nkinds:\n  mail: {host: a, password: {env: TODOKE_TEST_KEY}}\n"
    text = effective(bound(written))
    assert "canary" not in text
    said = yaml.safe_load(text)
    assert said["kinds"]["mail"] == {"host": "a", "port": 25, "password": "********"}
    assert (said["timeout"], said["rate"], said["size"], said["pace"]) == ("5 s", "1 Mbit/s", "1 KiB", "10 /s")
    assert (said["colour"], said["folder"], said["is_on"]) == ("red", "/nowhere", False)
    assert said.keys() == Settings.__dataclass_fields__.keys()


def test_an_effective_file_without_secrets_binds_to_the_same_settings():
    settings = bound("name: x\nmode: drill\ntimeout: 1234567 ms\nsize: 1234567 B\nrelays: [{host: a}]\n")
    assert (
        bound(effective(settings).replace("password: null", "port: 25").replace("  port: 25\n  port", "  port"))
        == settings
    )


@pytest.mark.parametrize("unit", [DURATION, BIT_RATE, SIZE, FREQUENCY], ids=lambda unit: unit.what)
@given(st.floats(min_value=0, max_value=1e12, allow_subnormal=False) | st.integers(min_value=0, max_value=10**14))
@example(1 / 6)
@example(0)
def test_a_quantity_reads_back_as_it_was_written(unit, amount):
    assert quantity(unit, write(unit, amount)) == pytest.approx(amount, rel=1e-12, abs=1e-300)


_WORDS = st.sampled_from(
    ["name", "mode", "live", "relays", "kinds", "mail", "host", "port", "file", "env", "5 s", "x", "", "~", "[]", "{}"]
)
_TREES = st.recursive(
    _WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(_TREES)
def test_no_document_raises_anything_but_a_config_error(tree):
    text = yaml.safe_dump(tree, allow_unicode=True)
    try:
        settings = bound(text)
    except ConfigError as error:
        assert all(str(problem).startswith("site.yaml:") for problem in error.problems)
    else:
        assert settings.mode in {"live", "drill"}
