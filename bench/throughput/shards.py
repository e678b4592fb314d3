"""Drain several shards with one process or more, as the deployment does it.

Promise: what is timed lies between two commits of the ledger, so that neither the start of the
processes nor their stop counts; every shard is drained to its end.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg import Connection

from bench.harness.isolated import isolated_process
from bench.harness.resources import cpu_s, root_pids, sampling_memory
from bench.harness.testbed import LoadedLog, Testbed
from bench.report.runs import MICROS_PER_S, ShardsRun
from bench.workload import Workload
from connectors.postgres.connection import connect
from flows.runtime import supervisor
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from state.errors import WalrasError

FNV_OFFSET: Final = 0x811C9DC5
FNV_PRIME: Final = 0x01000193
POLL_INTERVAL_S: Final = 0.05
DEADLINE_S: Final = 600.0

POSITIONS: Final = "SELECT shard, next_seq FROM ledger.shard"
BIDS: Final = "SELECT count(*) FROM ledger.bid"
BETWEEN_COMMITS: Final = (Path(__file__).parent / "sql/bids_between_commits.sql").read_bytes()


def workloads_of(whole: Workload, *, shards: int) -> list[Workload]:
    """The workload in equal parts, each for a market in a shard of its own."""
    return [
        Workload(
            name=f"{whole.name} {shard}",
            bids=whole.bids // shards,
            per_message=whole.per_message,
            agents=whole.agents // shards,
            per_window=whole.per_window // shards,
            window_ms=whole.window_ms,
            market=_market_in(shard, shards),
            seed=whole.seed + shard,
        )
        for shard in range(shards)
    ]


def drain_shards(testbed: Testbed, ledger: Servers, loaded: LoadedLog) -> ShardsRun:
    """Drain all shards of the testbed with as many processes as its settings say."""
    with isolated_process() as worker, connect(ledger.postgres_dsn) as connection:
        kinds = root_pids(testbed.home, worker=worker.pid)
        with sampling_memory(kinds) as memory:
            ended = worker.submit(run_deployment, testbed.settings, ledger, dict(loaded.last_seq))
            _await(ledger, loaded.opened_seq, enough=any)
            before = cpu_s(kinds)
            ((earlier,),) = connection.execute(BIDS).fetchall()
            _await(ledger, loaded.last_seq)
            after = cpu_s(kinds)
            ended.result()
        ((bids, later, seconds),) = connection.execute(BETWEEN_COMMITS).fetchall()
    return ShardsRun(
        shards=testbed.settings.shards,
        processes=testbed.settings.processes,
        bid_rate=float(later / seconds),
        cpu_us={
            kind: (after[kind] - before[kind]) / (int(bids) - earlier) * MICROS_PER_S
            for kind in kinds
        },
        peak_mib=memory.peak_mib,
    )


def run_deployment(settings: Settings, servers: Servers, last_seq: Mapping[int, int]) -> None:
    """Run the deployment in this process until all shards are drained."""
    stop = threading.Event()
    with _stopping(stop, servers, last_seq):
        supervisor.run(settings, servers, stop)


@contextmanager
def _stopping(
    stop: threading.Event, servers: Servers, last_seq: Mapping[int, int]
) -> Iterator[None]:
    def poll() -> None:
        try:
            _await(servers, last_seq)
        finally:
            stop.set()

    thread = threading.Thread(target=poll, name="stop", daemon=True)
    thread.start()
    yield
    thread.join()


def _await(
    servers: Servers, seqs: Mapping[int, int], *, enough: Callable[[Iterable[bool]], bool] = all
) -> None:
    """Return once each shard, or any of them, has committed all before its sequence."""
    deadline_s = time.monotonic() + DEADLINE_S
    with connect(servers.postgres_dsn) as connection:
        while not enough(_arrived(connection, seqs)):
            if time.monotonic() > deadline_s:
                raise WalrasError(
                    "the shards were not drained",
                    detail=f"they were given {DEADLINE_S:.0f} s",
                    hint="Ask for fewer bids",
                )
            time.sleep(POLL_INTERVAL_S)


def _arrived(connection: Connection, seqs: Mapping[int, int]) -> list[bool]:
    next_seq: dict[int, int] = dict(connection.execute(POSITIONS).fetchall())
    return [next_seq.get(shard, 0) >= seq for shard, seq in seqs.items()]


def _market_in(shard: int, shards: int) -> str:
    """A market whose name the server's mapping puts into this shard."""
    number = 0
    while _fnv1a(f"bench-{number}") % shards != shard:
        number += 1
    return f"bench-{number}"


def _fnv1a(text: str) -> int:
    """The hash behind the server's `partition()`."""
    value = FNV_OFFSET
    for byte in text.encode():
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value
