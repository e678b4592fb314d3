"""Servers that a test may stop, freeze, fill up and set back, and a market on them."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Final

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from connectors.embedded.nats_server import NatsServer, start_nats
from connectors.embedded.postgres_server import PostgresServer, start_postgres
from connectors.embedded.servers import Servers
from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from connectors.postgres.migrate import migrate
from flows.runtime.settings import Settings
from tests.crash.bench import replayed
from tests.crash.books import books, database, last_active, read_up_to
from tests.crash.due import due_windows
from tests.crash.log import TICK, next_window, publish, write_window
from tests.crash.process import PATIENT, WITHIN_S, Limits, Up, up
from tests.crash.windows import last_published, published_windows, wrong_windows
from tests.support.eventually import eventually
from tests.support.nats_logs import LOG_BYTES, last_seq, make_streams
from tests.support.servers import open_folder
from walras_client.nats.connection import Connection as NatsConnection

TEMPLATE: Final = "server_pair_template"
WINDOW_MS: Final = 250


@dataclass(slots=True)
class ServerPair:
    """A pair of servers in a folder."""

    folder: Path
    nats: NatsServer = field(init=False)
    postgres: PostgresServer = field(init=False)

    def __post_init__(self) -> None:
        self.start_nats()
        self.start_postgres()

    def start_nats(self) -> None:
        self.nats = start_nats(self.folder / "nats", shards=1)

    def empty_nats(self) -> None:
        """A server without streams, where the one was that had them."""
        self.nats.stop()
        rmtree(self.folder / "nats" / "jetstream")
        self.start_nats()

    def start_postgres(self) -> None:
        self.postgres = start_postgres(self.folder / "postgres")

    @property
    def servers(self) -> Servers:
        return Servers(self.nats.url, self.postgres.dsn)

    def processes(self, server: str) -> list[psutil.Process]:
        """All processes of a server."""
        if server == "nats":
            return [psutil.Process(self.nats.process.pid)]
        pid = int((self.folder / "postgres" / "postmaster.pid").read_text().split()[0])
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]

    def start(self, server: str) -> None:
        """Start a server on what it left."""
        self.start_nats() if server == "nats" else self.start_postgres()

    def kill(self, server: str) -> None:
        """End all processes of a server as the kernel does when memory runs out."""
        self.processes(server)[0].suspend()  # so that it starts no other meanwhile
        processes = self.processes(server)
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # an end of its own
                process.kill()
        _gone, left = psutil.wait_procs(processes, timeout=WITHIN_S)
        assert [] == left
        if server == "nats":
            self.nats.process.wait()

    @contextmanager
    def without(self, server: str) -> Iterator[None]:
        """A server that is away for a block."""
        (self.nats if server == "nats" else self.postgres).stop()
        try:
            yield
        finally:
            self.start(server)

    @contextmanager
    def frozen(self, server: str) -> Iterator[None]:
        """A server that stands still for a block, and takes connections all the same."""
        for process in self.processes(server):
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in self.processes(server):
                process.send_signal(signal.SIGCONT)

    def run(self, program: str, *words: str, dsn: str) -> None:
        """Run one of Postgres's own programs on a database."""
        address = conninfo_to_dict(dsn)
        where = ["-h", str(address["host"]), "-U", str(address["user"])]
        path = self.postgres.programs.bin_path / program
        subprocess.run([path, *where, *words], check=True, capture_output=True, timeout=WITHIN_S)


@contextmanager
def server_pair(folder: Path | None = None) -> Iterator[ServerPair]:
    """Servers for a block, with a ledger to copy; in a folder of their own if none is given."""
    with nullcontext(folder) if folder else open_folder() as where:
        made = ServerPair(where)
        (where / "said").mkdir()
        try:
            with psycopg.connect(made.postgres.dsn, autocommit=True) as owner:
                owner.execute(f"CREATE DATABASE {TEMPLATE}".encode())
            migrate(made.postgres.dsn.replace("/walras?", f"/{TEMPLATE}?"))
            yield made
        finally:
            made.postgres.stop()
            made.nats.stop()


@dataclass(frozen=True, slots=True)
class Market:
    """A log and a ledger, and who reads and writes them."""

    pair: ServerPair
    nc: NatsConnection
    settings: Settings

    @property
    def dsn(self) -> str:
        return str(self.settings.postgres_dsn)

    @contextmanager
    def up(self, limits: Limits = PATIENT) -> Iterator[Up]:
        """A deployment for a block."""
        with up(self.settings, self.pair.folder / "said", limits=limits) as started:
            yield started

    def trade(self, numbers: Sequence[int]) -> None:
        """A window of trade for each number, and a tick that closes the last one."""
        for number in numbers:
            write_window(self.nc, number, window_ms=WINDOW_MS)
        next_window(WINDOW_MS)
        publish(self.nc, [TICK])

    def await_end(self) -> None:
        """Return when what the log holds now, but for its last tick, is settled and published."""
        end = last_seq(self.nc, "SHARD_0")
        with psycopg.connect(self.dsn, autocommit=True) as ledger:
            eventually(lambda: read_up_to(ledger) >= end, within_s=WITHIN_S)
            eventually(lambda: last_published(self.nc) == last_active(ledger), within_s=WITHIN_S)

    def check(self) -> None:
        """The ledger is what the log gives, all of it was published, and nothing twice."""
        live = books(self.dsn)
        with replayed(self.pair.servers, self.pair.folder, window_ms=WINDOW_MS) as dsn:
            assert live == books(dsn)
        assert live.windows
        with psycopg.connect(self.dsn) as ledger:
            assert [] == wrong_windows(published_windows(self.nc), list(due_windows(ledger)))


@contextmanager
def market(on: ServerPair, *, log_bytes: int = LOG_BYTES) -> Iterator[Market]:
    """An empty log and an empty ledger, gone after the block."""
    try:
        with (
            database(on.postgres.dsn, template=TEMPLATE) as dsn,
            open_on_loop(connected(on.nats.url, name="test")) as nc,
        ):
            make_streams(nc, shards=1, max_bytes=log_bytes)
            settings = Settings(nats_url=on.nats.url, postgres_dsn=dsn, window_ms=WINDOW_MS)
            yield Market(on, nc, settings)
    finally:
        on.empty_nats()
