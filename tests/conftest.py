"""One private PostgreSQL for all tests of a worker: where the fixture is known by one name, the server is one."""

from tests.servers.postgres import postgres

__all__ = ["postgres"]
