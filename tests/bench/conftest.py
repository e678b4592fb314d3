"""One loaded log on a testbed of its own, for all runs that are tried on it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench.baselines.contract import Job
from bench.harness.instrumented_flow import SHARD, settle_opening
from bench.harness.resources import root_pids
from bench.harness.testbed import LoadedLog, Testbed, open_testbed
from bench.throughput.drain import DrainTask
from bench.throughput.load import load
from bench.workload import Workload
from flows.runtime.servers import Servers
from tests.support.servers import open_folder

WORKLOAD = Workload(
    name="tiny", bids=600, agents=50, per_window=200, per_message=2, window_ms=300, seed=3
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A log on a testbed."""

    testbed: Testbed
    loaded: LoadedLog

    def task(self, ledger: Servers) -> DrainTask:
        """To drain the log in this process, which is the worker then."""
        return DrainTask(
            servers=ledger,
            kinds=root_pids(self.testbed.home, worker=1),
            window_ms=WORKLOAD.window_ms,
            last_seq=self.loaded.last_seq[SHARD],
        )

    def job(self, database: Servers, *, bids_max: int = WORKLOAD.bids) -> Job:
        """The same for a baseline."""
        return Job(
            nats_url=database.nats_url,
            dsn=database.postgres_dsn,
            folder=self.testbed.home.parent,
            workload=WORKLOAD,
            last_seq=self.loaded.last_seq[SHARD],
            bids_max=bids_max,
        )


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    with open_folder() as folder, open_testbed(folder, window_ms=WORKLOAD.window_ms) as testbed:
        yield Bench(testbed, asyncio.run(load(testbed.servers.nats_url, [WORKLOAD])))


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Servers]:
    """A ledger in which the market is open and the credits are granted."""
    with bench.testbed.ledger() as servers:
        opened_seq = bench.loaded.opened_seq[SHARD]
        settle_opening(servers, window_ms=WORKLOAD.window_ms, opened_seq=opened_seq)
        yield servers


@pytest.fixture
def database(bench: Bench) -> Iterator[Servers]:
    with bench.testbed.database() as servers:
        yield servers
