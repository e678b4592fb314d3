"""Scaling: what a command costs as agents, windows, ledger and shards grow.

Promise: each point is a log of its own, drained into an empty ledger which is audited, and whose
digests are those of a replay.
"""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.harness.machine import describe
from bench.harness.testbed import open_testbed
from bench.report.model import Point, ScalingReport, Series
from bench.report.runs import DrainRun, ShardsRun
from bench.throughput.adaptive_window import with_adaptive_window
from bench.throughput.drain import drain
from bench.throughput.load import load
from bench.throughput.shards import drain_shards, workloads_of
from bench.throughput.verify import audit, replay_digest, require_same, shard_digests
from bench.workload import Workload

KIB_PER_MIB: Final = 1024
SEGMENTS: Final = 10

OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How far everything is made to grow."""

    name: str
    agents: tuple[int, ...]
    agents_bids: int
    ledger_bids: int
    windows: tuple[int, ...]
    windows_bids: int
    shards: tuple[int, ...]
    processes: tuple[int, ...]
    shards_bids: int


SMALL: Final = Plan(
    name="scaling",
    agents=(1_000, 10_000, 100_000),
    agents_bids=50_000,
    ledger_bids=1_000_000,
    windows=(1_000, 10_000, 100_000),
    windows_bids=200_000,
    shards=(1, 2, 4),
    processes=(1, 2),
    shards_bids=200_000,
)
LARGE: Final = Plan(
    name="scaling-large",
    agents=(1_000, 10_000, 100_000, 1_000_000),
    agents_bids=100_000,
    ledger_bids=10_000_000,
    windows=(1_000, 10_000, 100_000, 1_000_000),
    windows_bids=200_000,
    shards=(1, 2, 4, 8),
    processes=(1, 2),
    shards_bids=400_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """A plan on this machine."""

    plan: Plan
    folder: Path
    """Where the servers keep their files: on the disk that is measured."""
    on_progress: OnProgress

    def run(self) -> Iterator[ScalingReport]:
        """Everything, one after the other; the report so far after each, as it takes long."""
        self.folder.mkdir(parents=True, exist_ok=True)
        at, began, machine = datetime.now(UTC), time.monotonic(), describe(self.folder)
        series: list[Series] = []
        for one in self._all():
            series.append(one)
            yield ScalingReport(
                preset=self.plan.name,
                at=at.isoformat(timespec="seconds"),
                seconds=round(time.monotonic() - began, 1),
                machine=machine,
                series=tuple(series),
            )

    def _all(self) -> Iterator[Series]:
        yield self.agents()
        yield self.windows()
        yield from self.shards()
        yield self.ledger()

    def agents(self) -> Series:
        """More agents: more accounts to hold, and more to read at a start."""
        points = [self._with_agents(count) for count in self.plan.agents]
        per_agent = [
            (after.figures["worker, MiB"] - before.figures["worker, MiB"])
            * KIB_PER_MIB
            / (after.size - before.size)
            for before, after in pairwise(points)
        ]
        sized = [
            Point(size=point.size, figures={**point.figures, "KiB per agent": each})
            for point, each in zip(points[1:], per_agent, strict=True)
        ]
        first = Point(size=points[0].size, figures={**points[0].figures, "KiB per agent": 0.0})
        return Series(title="More agents", grows="agents", points=[first, *sized])

    def windows(self) -> Series:
        """Larger windows: more bids to sort, and larger transactions."""
        points = [self._with_windows(size) for size in self.plan.windows]
        return Series(title="Larger windows", grows="bids per window", points=points)

    def ledger(self) -> Series:
        """A long run by one process into one ledger, in equal parts."""
        self.on_progress(f"a ledger of {self.plan.ledger_bids:,} bids")
        workload = Workload(
            name="long run",
            bids=self.plan.ledger_bids,
            per_message=100,
            per_window=min(100_000, self.plan.ledger_bids // SEGMENTS),
            window_ms=2_000,
        )
        drained = self._drained(workload)
        return Series(title="A long run", grows="commands so far", points=list(_parts(drained)))

    def shards(self) -> Iterator[Series]:
        """More shards, with one process and with more."""
        for processes in self.plan.processes:
            points = [
                self._with_shards(shards, processes)
                for shards in self.plan.shards
                if shards >= processes
            ]
            title = f"More shards, processes: {processes}"
            yield Series(title=title, grows="shards", points=points)

    def _with_agents(self, agents: int) -> Point:
        self.on_progress(f"{agents:,} agents")
        workload = Workload(name="agents", bids=self.plan.agents_bids, agents=agents)
        return Point(size=agents, figures=_figures(self._drained(workload)))

    def _with_windows(self, per_window: int) -> Point:
        self.on_progress(f"windows of {per_window:,} bids")
        workload = Workload(
            name="windows",
            bids=max(self.plan.windows_bids, per_window),
            per_message=100,
            per_window=per_window,
            window_ms=max(100, per_window // 50),
        )
        return Point(size=per_window, figures=_figures(self._drained(workload)))

    def _drained(self, planned: Workload) -> DrainRun:
        return with_adaptive_window(planned, self._drained_as_is, self.on_progress)

    def _drained_as_is(self, workload: Workload) -> DrainRun:
        with open_testbed(self.folder, window_ms=workload.window_ms) as testbed:
            loaded = asyncio.run(load(testbed.servers.nats_url, [workload]))
            with testbed.ledger() as ledger:
                drained = drain(testbed, ledger, loaded)
                audit(ledger)
                require_same(drained.digest, replayed=replay_digest(testbed))
        return drained

    def _with_shards(self, shards: int, processes: int) -> Point:
        self.on_progress(f"{shards} shards, {processes} processes")
        planned = Workload(
            name="shards",
            bids=self.plan.shards_bids,
            per_message=100,
            per_window=8_000,
            window_ms=200,
        )
        drained = with_adaptive_window(
            planned, partial(self._shards_run, shards, processes), self.on_progress
        )
        figures = {"bids/s": drained.bid_rate, "worker, µs/bid": drained.cpu_us["worker"]}
        return Point(size=shards, figures={**figures, "worker, MiB": drained.peak_mib["worker"]})

    def _shards_run(self, shards: int, processes: int, whole: Workload) -> ShardsRun:
        parts, window_ms = workloads_of(whole, shards=shards), whole.window_ms
        with open_testbed(
            self.folder, window_ms=window_ms, shards=shards, processes=processes
        ) as testbed:
            loaded = asyncio.run(load(testbed.servers.nats_url, parts))
            with testbed.ledger() as ledger:
                drained = drain_shards(testbed, ledger, loaded)
                audit(ledger)
                for shard, digest in shard_digests(ledger).items():
                    require_same(digest, replayed=replay_digest(testbed, shard=shard))
        return drained


def _figures(drained: DrainRun) -> dict[str, float]:
    return {
        "commands/s": drained.rate,
        "broker, µs/command": drained.cpu_us["broker"],
        "worker, µs/command": drained.cpu_us["worker"],
        "database, µs/command": drained.cpu_us["database"],
        "commit p50, ms": drained.commit_ms_p50,
        "worker, MiB": drained.peak_mib["worker"],
        "start, ms": 1000 * drained.claim_s,
    }


def _parts(drained: DrainRun) -> Iterator[Point]:
    """The run in parts of about as many commands each: how fast, and how much memory at the end."""
    size = -(-drained.commands // SEGMENTS)
    begun_s, begun = 0.0, 0
    for at_s, commands in drained.progress:
        if commands - begun >= size or commands == drained.commands:
            figures = {
                "commands/s": (commands - begun) / (at_s - begun_s),
                "worker, MiB": _mib_at(drained, at_s),
            }
            yield Point(size=commands, figures=figures)
            begun_s, begun = at_s, commands


def _mib_at(drained: DrainRun, at_s: float) -> float:
    """The worker's memory in the first sample from then on; sampling began a little earlier."""
    index = bisect_left(drained.worker_mib, (at_s, 0.0))
    return drained.worker_mib[min(index, len(drained.worker_mib) - 1)][1]
