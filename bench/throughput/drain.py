"""Drain a filled log into an empty ledger as fast as the machine can, and measure it.

Promise: one worker in a process of its own; the figures are the run's alone, from the start of the
flow to the last window published. The grants were settled before.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import quantiles
from typing import Final

from psycopg.sql import SQL, Identifier

from bench.harness.instrumented_flow import SHARD, Course, claim, run, settle_opening
from bench.harness.isolated import apart
from bench.harness.resources import cpu_s, roots, watching
from bench.harness.testbed import Stand
from bench.throughput.load import Filled
from connectors.postgres.connection import connect
from flows.runtime.servers import Servers

ROWS: Final = ("bid", "command", "price", "dead_letter", "window", "account")
MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """One measured run."""

    commands: int
    seconds: float
    claim_s: float
    """To read the shard's state from the ledger, before the flow starts."""
    lost_share: float
    """Of the bids: those that won nothing."""
    cpu_us: Mapping[str, float]
    """Processor microseconds a command, by kind of process."""
    peak_mib: Mapping[str, float]
    commit_ms_p50: float
    commit_ms_p99: float
    rows: Mapping[str, int]
    """In the ledger's tables at the end."""
    digest: str
    progress: Sequence[tuple[float, int]]
    """After each window: seconds since the start, commands so far."""
    worker_mib: Sequence[tuple[float, float]] = ()
    """The worker's memory: seconds since the start, MiB."""

    @property
    def rate(self) -> float:
        """Commands a second."""
        return self.commands / self.seconds

    def summary(self) -> "Drained":
        """The run without its course."""
        return replace(self, progress=(), worker_mib=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the worker of a run is told."""

    servers: Servers
    kinds: Mapping[str, int]
    """The first process of each kind, whose use is counted."""
    window_ms: int
    last_seq: int


def drain(stand: Stand, ledger: Servers, filled: Filled) -> Drained:
    """Read the log to its end; the part of it that opens the market goes before, uncounted."""
    window_ms, opened_seq = stand.settings.window_ms, filled.opened_seq[SHARD]
    settle_opening(ledger, window_ms=window_ms, opened_seq=opened_seq)
    with apart() as process:
        task = Task(
            servers=ledger,
            kinds=roots(stand.home, worker=process.pid),
            window_ms=window_ms,
            last_seq=filled.last_seq[SHARD],
        )
        with watching(task.kinds) as watch:
            drained = process.run(work, task)
    return replace(
        drained,
        peak_mib=watch.peak_mib,
        rows=count_rows(ledger.postgres_dsn),
        worker_mib=watch.course_mib("worker"),
    )


def work(task: Task) -> Drained:
    """Drain in this process."""
    claiming = time.perf_counter()
    claimed = claim(task.servers, window_ms=task.window_ms)
    claim_s = time.perf_counter() - claiming
    course = Course()
    before = cpu_s(task.kinds)
    run(claimed, course, last_seq=task.last_seq)
    seconds = time.perf_counter() - course.began_s
    after = cpu_s(task.kinds)
    return Drained(
        commands=course.commands,
        seconds=seconds,
        claim_s=claim_s,
        lost_share=course.lost / course.commands,
        cpu_us={kind: (after[kind] - before[kind]) / course.commands * MICROS for kind in after},
        peak_mib={},
        commit_ms_p50=1000 * percentile(course.commit_s, 50),
        commit_ms_p99=1000 * percentile(course.commit_s, 99),
        rows={},
        digest=course.digest,
        progress=course.progress,
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Below which so much of the values lies."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def count_rows(dsn: str) -> dict[str, int]:
    """How many rows lie in each table of the ledger."""
    with connect(dsn) as connection:
        counts = {}
        for table in ROWS:
            query = SQL("SELECT count(*) FROM ledger.{}").format(Identifier(table))
            counts[table] = connection.execute(query).fetchall()[0][0]
        return counts
