"""One log, what it must come to, and a fresh ledger for each case that a test makes of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from connectors.embedded.servers import Servers, embedded
from connectors.files.logfile import write_log as write_file
from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.postgres.migrate import migrate
from flows.replay import replay
from flows.runtime.settings import Settings
from tests.crash.books import Books, books, claims_of, database
from tests.crash.due import Content, ResultKey, due_results, due_windows
from tests.crash.listener import Listener, as_it_is, commit_times_ns, listening, wrong_results
from tests.crash.log import WINDOW_MS, write_log
from tests.crash.process import PATIENT, WITHIN_S, Limits, Up, points_reached, up
from tests.crash.windows import (
    Window,
    empty_windows,
    last_published,
    published_windows,
    wrong_windows,
)
from tests.support.eventually import eventually
from tests.support.nats_logs import make_streams
from tests.support.servers import open_folder
from walras_client.nats.connection import Connection

WINDOWS: Final = 4
TEMPLATE: Final = "crash_template"


@dataclass(frozen=True, slots=True)
class CrashBench:
    """The log of one shard on real servers, and what an undisturbed run makes of it."""

    servers: Servers
    nc: Connection
    folder: Path
    due: "Due"
    hits: Mapping[str, int]
    """How often an undisturbed run passes each point."""

    @contextmanager
    def case(self, *, ids_kept_s: int | None = None) -> Iterator["Case"]:
        """An empty ledger and nothing published; the stream of windows remembers ids so long."""
        empty_windows(self.nc, ids_kept_s=ids_kept_s)
        with (
            database(self.servers.postgres_dsn, template=TEMPLATE) as dsn,
            listening(self.servers.nats_url, as_it_is) as listener,
        ):
            yield Case(self, _settings(self.servers.nats_url, dsn), listener)


@dataclass(frozen=True, slots=True)
class Due:
    """What a replay of the log gives: a ledger, and what has to be published of it."""

    books: Books
    windows: Sequence[Window]
    results: Mapping[ResultKey, Content]

    @property
    def last_window(self) -> int:
        """The last that has a message; each window of this log has one."""
        return int(self.windows[-1][1]["window_id"])


@dataclass(frozen=True, slots=True)
class Case:
    """A ledger that deployments write, and what must be true of it in the end."""

    bench: CrashBench
    settings: Settings
    listener: Listener[Content]

    @property
    def dsn(self) -> str:
        return str(self.settings.postgres_dsn)

    def up(
        self, failpoint: str | None = None, limits: Limits = PATIENT
    ) -> AbstractContextManager[Up]:
        """A deployment over this ledger."""
        return up(self.settings, self.bench.folder, failpoint, limits)

    def await_end(self, *, claims: int) -> None:
        """Return when so many have claimed the shard, and all its windows are published."""
        with psycopg.connect(self.dsn, autocommit=True) as ledger:
            eventually(lambda: claims_of(ledger) == claims, within_s=WITHIN_S)
            eventually(self.is_published, within_s=WITHIN_S)

    def is_published(self) -> bool:
        """Whether the last window has left."""
        return last_published(self.bench.nc) == self.bench.due.last_window

    def check(self) -> None:
        """Nothing is lost, nothing is there twice, and agents were told what the ledger says."""
        assert self.bench.due.books == books(self.dsn)
        assert [] == wrong_windows(published_windows(self.bench.nc), self.bench.due.windows)
        self.check_heard()

    def check_heard(self) -> None:
        """What was heard until now is committed now, and nothing of it came twice or differs."""
        heard = self.listener.heard()
        with psycopg.connect(self.dsn, autocommit=True) as ledger:
            committed_ns = commit_times_ns(ledger)
        assert [] == self.listener.invalid
        assert [] == wrong_results(heard, self.bench.due.results, committed_ns)

    def check_all_heard(self) -> None:
        """Every result was heard."""
        assert self.bench.due.results.keys() == {each.key for each in self.listener.heard()}


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
        due = _due(dsn)
    plain = CrashBench(servers, nc, folder / "said", due, hits={})
    with plain.case() as case:
        passed = points_reached(case.settings, case.is_published)
        case.check()
        case.check_all_heard()
    return CrashBench(servers, nc, folder / "said", due, hits=Counter(passed))


def _due(dsn: str) -> Due:
    with psycopg.connect(dsn, autocommit=True) as ledger:
        return Due(books(dsn), list(due_windows(ledger)), dict(due_results(ledger)))


@contextmanager
def replayed(servers: Servers, folder: Path, *, window_ms: int = WINDOW_MS) -> Iterator[str]:
    """A ledger that the log as it is now was replayed into."""
    with database(servers.postgres_dsn) as dsn:
        write_file(folder / "log", export_log(servers.nats_url, shard=0))
        replay(folder / "log", postgres_dsn=dsn, window_ms=window_ms)
        yield dsn


def _settings(nats_url: str, postgres_dsn: str) -> Settings:
    return Settings(nats_url=nats_url, postgres_dsn=postgres_dsn, window_ms=WINDOW_MS)


def _make_template(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        # Nothing here has to outlive a power cut.
        owner.execute("ALTER SYSTEM SET fsync = off")
        owner.execute("SELECT pg_reload_conf()")
        owner.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate(dsn.replace("/walras?", f"/{TEMPLATE}?"))
