"""The testbed: servers of its own in a fresh folder, and an empty ledger for each run.

Promise: nothing that runs elsewhere is touched, whatever the environment says; all runs find
the servers in the same state, with all earlier writing done.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.subjects import WINDOWS, stream_name
from connectors.postgres.migrate import migrate
from flows.runtime.servers import Servers, open_servers
from flows.runtime.settings import GIB, Settings, load_settings
from flows.runtime.supervisor import prepare
from walras_client.nats.jetstream import ask

LOG_MAX_BYTES: Final = 16 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedLog:
    """A log that holds a workload."""

    messages: int
    bids: int
    seconds: float
    opened_seq: Mapping[int, int]
    """Of the tick that closes the window of the grants, by shard."""
    last_seq: Mapping[int, int]
    """Of the tick that closes the last window, by shard."""

    @property
    def bids_per_s(self) -> float:
        """How fast the bids were published, the waiting for windows left out."""
        return self.bids / self.seconds


@dataclass(frozen=True, slots=True)
class Testbed:
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
        """The log, an empty ledger, and no windows published yet."""
        with self.database() as servers:
            migrate(servers.postgres_dsn)
            # The windows go with their ids, or those of the run before would make duplicates.
            self._delete_streams([WINDOWS])
            prepare(self.settings, servers)
            yield servers

    @contextmanager
    def log_and_ledger(self) -> Iterator[Servers]:
        """An empty log and an empty ledger, and no windows published yet."""
        self._delete_streams([stream_name(shard) for shard in range(self.settings.shards)])
        with self.ledger() as servers:
            yield servers

    def _delete_streams(self, streams: Iterable[str]) -> None:
        with open_on_loop(connected(self.servers.nats_url, name="walras bench")) as nc:
            for stream in streams:
                run_sync(ask(nc, f"STREAM.DELETE.{stream}"))


@contextmanager
def open_testbed(
    folder: Path, *, window_ms: int, shards: int = 1, processes: int = 1
) -> Iterator[Testbed]:
    """Servers in a new folder inside `folder`, which has to lie on the disk that is measured."""
    logging.getLogger("yoyo").setLevel(logging.WARNING)  # it logs each migration of each ledger
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="run-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)  # for a Postgres that runs as another user, as it does for root
        settings = load_settings(
            home=Path(home),
            nats_url=None,
            nats_auth="none",  # the baselines have no credentials
            postgres_dsn=None,
            shards=shards,
            window_ms=window_ms,
            processes=processes,
            stream_max_bytes=LOG_MAX_BYTES // shards,
        )
        with open_servers(settings) as servers:
            prepare(settings, servers)
            yield Testbed(settings, servers)
