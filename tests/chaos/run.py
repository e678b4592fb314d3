"""A chaos run from its first server to its verdict.

Promise: everything that it needs it starts, in a folder of its own, and nothing of it runs on after
it. The folder is gone after a run that went well, and kept with all evidence after any other.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from connectors.postgres.connection import connect
from flows.runtime.servers import Servers
from flows.runtime.settings import PREFIX, Settings
from flows.runtime.supervisor import prepare
from tests.chaos.faults import Injected, World, ride
from tests.chaos.publishers import Publishers, Tally
from tests.chaos.schedule import Storm, schedule
from tests.chaos.watchers import (
    WINDOW_MS,
    Reader,
    caught_up_after_s,
    condensed,
)
from tests.chaos.workers import Supervisor, Worker
from tests.crash.books import last_active, read_up_to
from tests.crash.listener import Heard, Listener, listening
from tests.crash.server_pair import ServerPair
from tests.crash.windows import last_published
from tests.support.eventually import eventually
from tests.support.proxy import FaultProxy, fault_proxy

LOG: Final = "log.jsonl"
SOCKET: Final = ".s.PGSQL.5432"
CALM_WITHIN_S: Final = 120.0
QUIET_S: Final = 2.0
END_WITHIN_S: Final = 120.0
MIB: Final = 1 << 20


@dataclass(slots=True)
class Run:
    """What was done and seen, until the servers were left alone."""

    seed: int
    storms: tuple[Storm, ...]
    pair: ServerPair
    servers: Servers
    tally: Tally
    reader: Reader
    listener: Listener[bytes]
    heard: list[Heard[bytes]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    injected: list[Injected] = field(default_factory=list)
    lags_s: list[float | None] = field(default_factory=list)
    """How long each quiet took to bring the lag to 0."""
    unfinished: list[str] = field(default_factory=list)
    """What did not come to its end."""


@contextmanager
def chaos(seed: int, length_s: float, folder: Path) -> Iterator[Run]:
    """Do it all; in the block the servers still run and nobody else uses them."""
    storms = schedule(seed, length_s)
    (folder / "schedule.txt").write_text("".join(f"{storm}\n" for storm in storms))
    pair = ServerPair(folder)
    try:
        servers = Servers(pair.nats.url, pair.postgres.dsn)
        prepare(_settings(servers), servers)
        with _world(pair, servers, folder) as world:
            yield _hurt(world, seed, storms, servers)
    finally:
        pair.postgres.stop()
        pair.nats.stop()


def _hurt(world: World, seed: int, storms: tuple[Storm, ...], servers: Servers) -> Run:
    through = f"nats://127.0.0.1:{world.to_broker.port}"
    with (
        listening(servers.nats_url, condensed) as listener,
        Reader(servers.postgres_dsn) as reader,
        Publishers(through, seed) as publishers,
    ):
        run = Run(seed, storms, world.pair, servers, publishers.tally, reader, listener)
        run.workers = world.workers.started
        world.workers.await_ready()
        for number, storm in enumerate(storms, 1):
            say(f"storm {number} of {len(storms)}: {len(storm)} faults")
            run.injected += ride(world, storm)
            _be_quiet(world, run)
        publishers.stop()
        _come_to_the_end(world, run)
    return run


def _be_quiet(world: World, run: Run) -> None:
    """Nothing is hurt until no closed window is missing, and for a while more."""
    lag_s = caught_up_after_s(run.servers, within_s=CALM_WITHIN_S)
    run.lags_s.append(lag_s)
    say("the lag did not return to 0" if lag_s is None else f"the lag is 0 after {lag_s:.1f} s")
    world.workers.await_replaced()
    time.sleep(QUIET_S)


def _come_to_the_end(world: World, run: Run) -> None:
    """Let all that is in the log be settled and published, then end the worker."""
    end = max(run.tally.acknowledged, default=0)
    try:
        with (
            connect(run.servers.postgres_dsn) as ledger,
            open_on_loop(connected(run.servers.nats_url, name="chaos end")) as nc,
        ):
            eventually(lambda: read_up_to(ledger) > end, within_s=END_WITHIN_S)
            eventually(lambda: last_published(nc) >= last_active(ledger), within_s=END_WITHIN_S)
    except AssertionError as late:
        run.unfinished.append(f"the last window was not settled and published: {late}")
    world.workers.stop()
    run.heard = run.listener.heard()


def keep_evidence(run: Run) -> None:
    """Put the ledger beside the log, the schedule and what the workers said."""
    run.pair.run(
        "pg_dump",
        "-f",
        str(run.pair.folder / "ledger.sql"),
        "walras",
        dsn=run.servers.postgres_dsn,
    )


@contextmanager
def _world(pair: ServerPair, servers: Servers, folder: Path) -> Iterator[World]:
    """The lines to the servers, and a worker that knows no other way."""
    nats = urlsplit(servers.nats_url)
    (sockets,) = parse_qs(urlsplit(servers.postgres_dsn).query)["host"]
    to_nats = partial(asyncio.open_connection, nats.hostname, nats.port)
    to_postgres = partial(asyncio.open_unix_connection, Path(sockets) / SOCKET)
    with (
        open_on_loop(fault_proxy(to_nats)) as to_broker,
        open_on_loop(fault_proxy(to_postgres)) as to_database,
        Supervisor(_environment(to_broker, to_database), folder) as workers,
    ):
        yield World(pair, to_broker, to_database, workers)


def _environment(to_broker: FaultProxy, to_database: FaultProxy) -> Mapping[str, str]:
    """The settings of the workers, whatever those of this process are."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {
        "WALRAS_NATS_URL": f"nats://127.0.0.1:{to_broker.port}",
        "WALRAS_NATS_AUTH": "none",
        "WALRAS_POSTGRES_DSN": f"postgresql://postgres@127.0.0.1:{to_database.port}/walras",
        "WALRAS_WINDOW_MS": str(WINDOW_MS),
        "WALRAS_HEALTH_PORT": "0",
    }


def _settings(servers: Servers) -> Settings:
    return Settings(
        nats_url=servers.nats_url, postgres_dsn=servers.postgres_dsn, window_ms=WINDOW_MS
    )


def say(news: str) -> None:
    """Show on stderr how far it is."""
    sys.stderr.write(f"{news}\n")
