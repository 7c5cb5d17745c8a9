"""What the operators' tests share: a node in the test's own process, and a log that stays out of what a command answers."""

import pytest
import structlog

from dispatcher.log import to_stderr
from tests.servers.inside import Node


@pytest.fixture(autouse=True)
def _logged_to_stderr():
    """As in earnest, so that standard output is the command's answer alone."""
    to_stderr()
    yield
    structlog.reset_defaults()


@pytest.fixture
def city_hall(tmp_path):
    return Node(tmp_path)
