"""What the operators' tests share: a node in the test's own process, and a private PostgreSQL."""

import pytest
import structlog

from dispatcher.log import to_stderr
from tests.servers.inside import Node
from tests.servers.postgres import postgres

__all__ = ["postgres"]


@pytest.fixture(autouse=True)
def _logged_to_stderr():
    """As in earnest, so that standard output is the command's answer alone."""
    to_stderr()
    yield
    structlog.reset_defaults()


@pytest.fixture
def city_hall(tmp_path):
    return Node(tmp_path)
