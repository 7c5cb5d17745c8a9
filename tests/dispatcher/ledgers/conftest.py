"""The private PostgreSQL, for this folder's tests."""

from tests.servers.postgres import postgres

__all__ = ["postgres"]
