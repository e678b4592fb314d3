"""Drain a loaded log into an empty ledger as fast as the machine can, and measure that.

Promise: one worker in a process of its own; the figures are of the run alone, from the start of the
flow to the last window published. The grants were settled before.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import quantiles
from typing import Final

from psycopg.sql import SQL, Identifier

from bench.harness.instrumented_flow import SHARD, Course, claim, run, settle_opening
from bench.harness.isolated import isolated_process
from bench.harness.resources import cpu_s, root_pids, sampling_memory
from bench.harness.testbed import LoadedLog, Testbed
from bench.report.runs import MICROS_PER_S, DrainRun
from connectors.postgres.connection import connect
from flows.runtime.servers import Servers

ROWS: Final = ("bid", "command", "price", "dead_letter", "window", "account")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainTask:
    """What the worker of a run needs to know."""

    servers: Servers
    kinds: Mapping[str, int]
    """The first process of each kind, whose cost is counted."""
    window_ms: int
    last_seq: int


def drain(testbed: Testbed, ledger: Servers, loaded: LoadedLog) -> DrainRun:
    """Drain the log to its end; what opens the market is settled before and not counted."""
    window_ms, opened_seq = testbed.settings.window_ms, loaded.opened_seq[SHARD]
    settle_opening(ledger, window_ms=window_ms, opened_seq=opened_seq)
    with isolated_process() as process:
        task = DrainTask(
            servers=ledger,
            kinds=root_pids(testbed.home, worker=process.pid),
            window_ms=window_ms,
            last_seq=loaded.last_seq[SHARD],
        )
        with sampling_memory(task.kinds) as memory:
            drained = process.run(drain_here, task)
    return replace(
        drained,
        peak_mib=memory.peak_mib,
        rows=count_rows(ledger.postgres_dsn),
        worker_mib=memory.mib_over_time("worker"),
    )


def drain_here(task: DrainTask) -> DrainRun:
    """Drain in this process."""
    claiming = time.perf_counter()
    claimed = claim(task.servers, window_ms=task.window_ms)
    claim_s = time.perf_counter() - claiming
    course = Course()
    before = cpu_s(task.kinds)
    run(claimed, course, last_seq=task.last_seq)
    seconds = time.perf_counter() - course.began_s
    after = cpu_s(task.kinds)
    return DrainRun(
        commands=course.commands,
        seconds=seconds,
        claim_s=claim_s,
        lost_share=course.lost / course.commands,
        cpu_us={
            kind: (after[kind] - before[kind]) / course.commands * MICROS_PER_S for kind in after
        },
        peak_mib={},
        commit_ms_p50=1000 * percentile(course.commit_s, 50),
        commit_ms_p99=1000 * percentile(course.commit_s, 99),
        rows={},
        digest=course.digest,
        progress=course.progress,
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of the values lie."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def count_rows(dsn: str) -> dict[str, int]:
    """The number of rows in each table of the ledger."""
    with connect(dsn) as connection:
        counts = {}
        for table in ROWS:
            query = SQL("SELECT count(*) FROM ledger.{}").format(Identifier(table))
            counts[table] = connection.execute(query).fetchall()[0][0]
        return counts
