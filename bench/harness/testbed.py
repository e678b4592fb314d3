"""The test stand: servers of its own in a fresh folder, and an empty ledger for each contender.

Promise: nothing that runs elsewhere is touched, whatever the environment says; all contenders find
the servers in the same state, with all earlier writing done.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from connectors.nats.background_loop import held, wait_for
from connectors.nats.connection import connected
from connectors.nats.jetstream import ask
from connectors.nats.subjects import RESULTS, stream_name
from connectors.postgres.migrate import migrate
from flows.runtime.servers import Servers, open_servers
from flows.runtime.settings import GIB, Settings, load_settings
from flows.runtime.supervisor import prepare

LOG_MAX_BYTES: Final = 16 * GIB


@dataclass(frozen=True, slots=True)
class Stand:
    """Servers that run, with an empty log at first."""

    settings: Settings
    servers: Servers
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def home(self) -> Path:
        """The folder of the servers."""
        return self.settings.home.resolve()

    @contextmanager
    def database(self) -> Iterator[Servers]:
        """The log, and an empty database that is gone after the block."""
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self.servers.postgres_dsn, autocommit=True) as owner:
            owner.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
            owner.execute("CHECKPOINT")
        dsn = urlunsplit(urlsplit(self.servers.postgres_dsn)._replace(path=f"/{name}"))
        try:
            yield Servers(self.servers.nats_url, dsn)
        finally:
            with psycopg.connect(self.servers.postgres_dsn, autocommit=True) as owner:
                owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    @contextmanager
    def ledger(self) -> Iterator[Servers]:
        """The log, an empty ledger, and no results yet."""
        with self.database() as servers:
            migrate(servers.postgres_dsn)
            # The results go with their ids, or those of the run before would make duplicates.
            self._forget([RESULTS])
            prepare(self.settings, servers)
            yield servers

    @contextmanager
    def log_and_ledger(self) -> Iterator[Servers]:
        """An empty log and an empty ledger, and no results yet."""
        self._forget([stream_name(shard) for shard in range(self.settings.shards)])
        with self.ledger() as servers:
            yield servers

    def _forget(self, streams: Iterable[str]) -> None:
        with held(connected(self.servers.nats_url, name="walras bench")) as nc:
            for stream in streams:
                wait_for(ask(nc, f"STREAM.DELETE.{stream}"))


@contextmanager
def stand(folder: Path, *, window_ms: int, shards: int = 1, processes: int = 1) -> Iterator[Stand]:
    """Servers in a new folder inside `folder`, which has to lie on the disk that is measured."""
    logging.getLogger("yoyo").setLevel(logging.WARNING)  # it tells each migration of each ledger
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="run-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)  # for a Postgres that runs as another user, as it does for root
        settings = load_settings(
            home=Path(home),
            nats_url=None,
            postgres_dsn=None,
            shards=shards,
            window_ms=window_ms,
            processes=processes,
            stream_max_bytes=LOG_MAX_BYTES // shards,
        )
        with open_servers(settings) as servers:
            prepare(settings, servers)
            yield Stand(settings, servers)
