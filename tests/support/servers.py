"""Real servers for tests, started once for all of them: fixtures that any test may ask for.

- `servers` (session): an embedded nats-server and Postgres in a folder of their own. The first
  test that asks waits about three seconds. They end with the test run, however that ends.
- `nats_url`: a nats-server for this test alone, about 40 ms, mapped to `SHARDS` shards. One server
  for all would need their streams deleted, and a name that is used again at once may be refused:
  what was deleted is still being removed (nats-server pull request 8474).
- `nc`: a connection to it. It lives on the connectors' own loop: `wait_for(something(nc))`.
- `postgres_dsn`: an empty database for this test alone, about 50 ms, dropped after it.

For a fixture of another scope there are `own_nats` and `fresh_database`. A test that stops or
restarts a server starts one itself: `start_nats(tmp_path / "nats", shards=1)`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from connectors.embedded.nats_server import start_nats
from connectors.embedded.servers import Servers, embedded
from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from walras_client.nats.connection import Connection

SHARDS: Final = 4

_numbers = count()


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder for servers that run as another user, as Postgres does for root.

    Not pytest's own: another run of pytest closes that one to all other users at any moment.
    """
    with TemporaryDirectory(prefix="walras-") as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with open_folder() as folder, embedded(folder, shards=SHARDS) as running:
        without_fsync(running.postgres_dsn)
        yield running


def without_fsync(dsn: str) -> None:
    """Make a Postgres faster: nothing in it has to outlive a power cut."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("ALTER SYSTEM SET fsync = off")
        owner.execute("SELECT pg_reload_conf()")


@contextmanager
def own_nats() -> Iterator[str]:
    """A nats-server for the block, with nothing in it."""
    with open_folder() as folder:
        server = start_nats(folder, shards=SHARDS)
        try:
            yield server.url
        finally:
            server.stop()


@contextmanager
def fresh_database(dsn: str, *, template: str = "template0") -> Iterator[str]:
    """An empty database for the block, or a copy of `template`: its address."""
    name = f"test_{next(_numbers)}"
    create = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(create)
    try:
        yield urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
def nats_url() -> Iterator[str]:
    with own_nats() as url:
        yield url


@pytest.fixture
def nc(nats_url: str) -> Iterator[Connection]:
    with open_on_loop(connected(nats_url, name="test")) as opened:
        yield opened


@pytest.fixture
def postgres_dsn(servers: Servers) -> Iterator[str]:
    with fresh_database(servers.postgres_dsn) as dsn:
        yield dsn
