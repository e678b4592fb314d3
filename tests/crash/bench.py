"""One log, what it must come to, and a fresh ledger for each case that a test makes of it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psycopg

from connectors.embedded.servers import Servers, embedded
from connectors.files.logfile import write_log as write_file
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.nats.subjects import RESULTS
from connectors.postgres.migrate import migrate
from flows.replay import replay
from flows.runtime.settings import Settings
from state.window import OutboundMessage
from tests.crash.books import (
    Books,
    books,
    claims_of,
    database,
    due_results,
    duplicates,
    published_results,
    published_up_to,
)
from tests.crash.log import WINDOW_MS, write_log
from tests.crash.process import PATIENT, WITHIN_S, Limits, Up, points_reached, up
from tests.support.eventually import eventually
from tests.support.nats_logs import make_streams
from tests.support.servers import open_folder
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask

WINDOWS: Final = 4
TEMPLATE: Final = "crash_template"


@dataclass(frozen=True, slots=True)
class CrashBench:
    """The log of one shard on real servers, and what an undisturbed run makes of it."""

    servers: Servers
    nc: Connection
    folder: Path
    expected: Books
    results: Mapping[str, OutboundMessage]
    hits: Mapping[str, int]
    """How often an undisturbed run passes each point."""

    @property
    def last_window(self) -> int:
        return max(int(str(window_id)) for window_id, *_ in self.expected.windows)

    @contextmanager
    def case(self) -> Iterator["Case"]:
        """An empty ledger and nothing published."""
        with database(self.servers.postgres_dsn, template=TEMPLATE) as dsn:
            forget_results(self.nc)
            yield Case(self, _settings(self.servers.nats_url, dsn))


@dataclass(frozen=True, slots=True)
class Case:
    """A ledger that deployments write, and what must be true of it in the end."""

    bench: CrashBench
    settings: Settings

    def up(
        self, failpoint: str | None = None, limits: Limits = PATIENT
    ) -> AbstractContextManager[Up]:
        """A deployment over this ledger."""
        return up(self.settings, self.bench.folder, failpoint, limits)

    def await_end(self, *, claims: int) -> None:
        """Return when so many have claimed the shard, and all its windows are published."""
        with psycopg.connect(str(self.settings.postgres_dsn), autocommit=True) as ledger:
            last = self.bench.last_window
            eventually(lambda: claims_of(ledger) == claims, within_s=WITHIN_S)
            eventually(lambda: published_up_to(ledger) == last, within_s=WITHIN_S)

    def check(self) -> None:
        """Nothing is lost, nothing is there twice."""
        assert self.bench.expected == books(str(self.settings.postgres_dsn))
        results = published_results(self.bench.nc)
        assert [] == duplicates(results)
        assert self.bench.results == {result.msg_id: result for result in results}


@contextmanager
def crash_bench(windows: int = WINDOWS) -> Iterator[CrashBench]:
    """Servers with a log that has ended, and what a replay of it gives."""
    with (
        open_folder() as folder,
        embedded(folder / "servers", shards=1) as servers,
        open_on_loop(connected(servers.nats_url, name="bench")) as nc,
    ):
        _make_template(servers.postgres_dsn)
        make_streams(nc, shards=1)
        write_log(nc, windows=windows)
        (folder / "said").mkdir()
        yield _make_bench(servers, nc, folder)


def _make_bench(servers: Servers, nc: Connection, folder: Path) -> CrashBench:
    with replayed(servers, folder) as dsn:
        expected, results = books(dsn), due_results(dsn)
    plain = CrashBench(servers, nc, folder / "said", expected, results, hits={})
    with plain.case() as case:
        passed = points_reached(case.settings, partial(_ended, case))
        case.check()
    return CrashBench(servers, nc, folder / "said", expected, results, hits=Counter(passed))


@contextmanager
def replayed(servers: Servers, folder: Path, *, window_ms: int = WINDOW_MS) -> Iterator[str]:
    """A ledger that the log as it is now was replayed into."""
    with database(servers.postgres_dsn) as dsn:
        write_file(folder / "log", export_log(servers.nats_url, shard=0))
        replay(folder / "log", postgres_dsn=dsn, window_ms=window_ms)
        yield dsn


def _ended(case: Case) -> bool:
    with psycopg.connect(str(case.settings.postgres_dsn)) as ledger:
        return published_up_to(ledger) == case.bench.last_window


def forget_results(nc: Connection) -> None:
    """Begin the stream of results anew, with the ids that it remembers."""
    run_sync(ask(nc, f"STREAM.DELETE.{RESULTS}"))
    make_streams(nc, shards=1)


def _settings(nats_url: str, postgres_dsn: str) -> Settings:
    return Settings(nats_url=nats_url, postgres_dsn=postgres_dsn, window_ms=WINDOW_MS)


def _make_template(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        # Nothing here has to outlive a power cut.
        owner.execute("ALTER SYSTEM SET fsync = off")
        owner.execute("SELECT pg_reload_conf()")
        owner.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate(dsn.replace("/walras?", f"/{TEMPLATE}?"))
