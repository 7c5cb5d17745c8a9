"""The house keeps its own rules: what makes a channel, where imports may run, what is logged."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher.log import EVENTS
from dispatcher.node import kinds

ROOMS = ("dispatcher", "channels", "multicast", "config", "drills")
SOURCES = [path for room in ROOMS for path in sorted(Path(room).rglob("*.py"))]


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_a_channel_has_a_contract_test_and_a_world(kind):
    assert kinds()[kind].kind == kind
    test = Path(f"tests/channels/test_{kind}.py")
    assert "ChannelContract" in test.read_text("utf-8")
    assert Path(f"drills/world/{kind}.py").is_file()


def test_every_log_call_has_a_listed_event_with_its_listed_keys():
    calls = 0
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            owner = node.func.value
            if not (isinstance(owner, ast.Name) and owner.id == "log"):
                continue
            calls += 1
            event = node.args[0]
            assert isinstance(event, ast.Constant), f"{path}:{node.lineno}"
            assert event.value in EVENTS, f"{path}:{node.lineno}: {event.value}"
            assert {k.arg for k in node.keywords} <= EVENTS[event.value] | {"exc_info"}, f"{path}:{node.lineno}"
    assert calls > 5


def test_imports_run_downward_only():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(linter)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
