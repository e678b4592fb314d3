"""Latency of a live market: commands arrive at a rate, each is timed until its window's commit.

The publisher is a process of its own beside the worker, as agents are, and so is who hears the
results. Promise: a command's time begins when its sender has made its id, just before it is
published, and ends when the transaction of its window has returned; no command is left out. The
time until its result is heard begins at the same moment; how many results were heard is reported,
as they leave once at most.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice
from typing import Final

import numpy as np

from bench.harness.instrumented_flow import Course, claim, run
from bench.harness.isolated import isolated_process
from bench.harness.resources import cpu_s, root_pids, sampling_memory
from bench.harness.testbed import Testbed
from bench.report.runs import LatencyRun
from bench.throughput.drain import count_rows, percentile
from bench.throughput.hearing import hear, made_at_ms, waited_ms
from bench.throughput.load import frame, next_window, open_market
from bench.workload import Workload, bids
from connectors.nats.connection import connected
from connectors.nats.ticker import ticking
from connectors.nats.topology import FINEST_TICK_MS
from flows.runtime.servers import Servers
from state.bids import Bytes
from state.errors import WalrasError
from state.window import Settlement
from walras_client.nats.connection import Connection

BURST_S: Final = 0.005
WARM_UP_S: Final = 1.0
SILENCE_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.05
NS_PER_MS: Final = 1_000_000

Live = tuple[list[float], str]
"""Latencies in milliseconds, and the last digest."""


def measure_latency(
    testbed: Testbed,
    ledger: Servers,
    workload: Workload,
    *,
    rate: float,
    warm_up_s: float = WARM_UP_S,
) -> LatencyRun:
    """Publish the workload at `rate` into a running flow, and wait until all is committed."""
    with (
        isolated_process() as worker,
        isolated_process() as publisher,
        isolated_process() as listener,
    ):
        importing = [worker.submit(ready), listener.submit(ready)]
        publisher.run(open_now, ledger.nats_url, workload)
        for imported in importing:
            imported.result()
        kinds = root_pids(testbed.home, worker=worker.pid)
        live = worker.submit(run_live, ledger, workload, warm_up_s=warm_up_s)
        _await_opening(live, ledger, workload)
        with sampling_memory(kinds) as memory:
            hearing = listener.submit(hear, ledger.nats_url, workload, warm_up_s=warm_up_s)
            began, before = time.perf_counter(), cpu_s(kinds)
            sent_rate = publisher.run(publish_at, ledger.nats_url, workload, rate=rate)
            latency_ms, digest = live.result()
            seconds, after = time.perf_counter() - began, cpu_s(kinds)
            heard = hearing.result()
    return LatencyRun(
        wanted_rate=rate,
        rate=sent_rate,
        bids=len(latency_ms),
        window_ms=workload.window_ms,
        latency_ms_p50=percentile(latency_ms, 50),
        latency_ms_p99=percentile(latency_ms, 99),
        latency_ms_max=max(latency_ms),
        busy={kind: (after[kind] - before[kind]) / seconds for kind in kinds},
        peak_mib=memory.peak_mib,
        digest=digest,
        heard=heard.outcomes,
        heard_ms_p50=heard.ms_p50,
        heard_ms_p99=heard.ms_p99,
    )


def _await_opening(live: Future[Live], ledger: Servers, workload: Workload) -> None:
    """Wait until the flow has committed the grants: in a live market they are old."""
    deadline = time.monotonic() + SILENCE_S
    # The treasury, which they come from, and the house have accounts too.
    while count_rows(ledger.postgres_dsn)["account"] < workload.agents + 2:
        if live.done():
            live.result()  # it has ended by an error, which is raised here
        if time.monotonic() > deadline:
            raise WalrasError(
                "the latency run did not begin",
                detail=f"its {workload.agents} agents have no credits after {SILENCE_S:.0f} s",
                hint="Stop what else keeps the machine busy",
            )
        time.sleep(POLL_INTERVAL_S)


def ready() -> None:
    """Do nothing: a process that has run this has imported all that it needs."""


def open_now(url: str, workload: Workload) -> None:
    """Open the workload's market and grant the credits."""

    async def opening() -> None:
        async with connected(url, name="walras bench load") as nc:
            await open_market(nc, workload)

    asyncio.run(opening())


def publish_at(url: str, workload: Workload, *, rate: float) -> float:
    """Publish the bids in small, even bursts; the rate that was reached."""
    return asyncio.run(_publish_at(url, workload, rate))


async def _publish_at(url: str, workload: Workload, rate: float) -> float:
    size = max(1, round(rate * BURST_S / workload.per_message))
    async with connected(url, name="walras bench publish") as nc:
        await next_window(workload.window_ms)
        began = time.perf_counter()
        await _send_bursts(nc, workload, size=size, pause_s=size * workload.per_message / rate)
        return workload.bids / (time.perf_counter() - began)


async def _send_bursts(nc: Connection, workload: Workload, *, size: int, pause_s: float) -> None:
    began, messages = time.perf_counter(), bids(workload)
    # The server acknowledges each message, as it does to agents. A message that it refused would
    # be missing from what is committed, so that nobody here has to wait for the answers.
    acknowledged = partial(frame, reply=nc.new_inbox())
    for number in count():
        await asyncio.sleep(began + number * pause_s - time.perf_counter())
        burst = list(islice(messages, size))
        if not burst:
            break
        await nc.write(map(acknowledged, burst))
    await nc.flush()


def run_live(servers: Servers, workload: Workload, *, warm_up_s: float) -> Live:
    """Run the flow in this process until all is committed: latencies in ms, and the digest."""
    latencies, stop = Latencies(), threading.Event()
    course = Course(on_commit=latencies.record)
    claimed = claim(servers, window_ms=workload.window_ms)
    with _ticks(servers.nats_url, workload.window_ms), _stopping(stop, course, workload.bids):
        run(claimed, course, stop=stop)
    if course.bids < workload.bids:
        raise WalrasError(
            "the latency run stalled",
            detail=f"{course.bids} of {workload.bids} bids are committed",
            hint="Stop what else keeps the machine busy, or ask for a lower rate",
        )
    return latencies.ms(warm_up_s=warm_up_s), course.digest


@dataclass(slots=True)
class Latencies:
    """The ids of each window with the time of its commit; evaluated after the run."""

    committed: list[tuple[int, Bytes]] = field(default_factory=list)

    def record(self, window: Settlement) -> None:
        """Record the time of a window's commit."""
        self.committed.append((time.time_ns(), window.bids.event_id))

    def ms(self, *, warm_up_s: float = 0.0) -> list[float]:
        """From each bid's id to its commit, without the bids of the warm-up."""
        made_ms = np.concatenate([made_at_ms(ids) for _, ids in self.committed])
        committed_ms = np.repeat(
            [committed_ns / NS_PER_MS for committed_ns, _ in self.committed],
            [len(ids) for _, ids in self.committed],
        )
        return waited_ms(made_ms, committed_ms, warm_up_s=warm_up_s)


def _ticks(url: str, window_ms: int) -> AbstractContextManager[None]:
    """As in a deployment: the server ticks every second, we tick where windows are shorter."""
    if window_ms >= FINEST_TICK_MS:
        return nullcontext()
    return ticking(url, shards=[0], window_ms=window_ms)


@contextmanager
def _stopping(stop: threading.Event, course: Course, bids: int) -> Iterator[None]:
    """Set `stop` from a thread beside the block when all bids are committed, or progress stalls."""

    def poll() -> None:
        seen, silent_since = -1, time.monotonic()
        while course.bids < bids and time.monotonic() - silent_since < SILENCE_S:
            if course.bids != seen:
                seen, silent_since = course.bids, time.monotonic()
            time.sleep(POLL_INTERVAL_S)
        stop.set()

    thread = threading.Thread(target=poll, name="stop", daemon=True)
    thread.start()
    yield
    thread.join()
