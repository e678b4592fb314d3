"""Run a preset: load a log for each workload, drain it, verify the ledger, run the baselines on it.

Promise: every figure belongs to a ledger that passed its audit and whose digest a replay of the log
gave again; a run that fails either ends the benchmark with an error.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from bench.baselines.contract import Baseline
from bench.baselines.registry import run_baseline
from bench.harness.machine import describe
from bench.harness.testbed import LoadedLog, Testbed, open_testbed
from bench.presets import LatencyPlan, Preset
from bench.report.model import (
    BaselineNote,
    LatencyRuns,
    Measured,
    Repetition,
    Report,
)
from bench.report.runs import BaselineRun, DrainRun, LatencyRun
from bench.throughput.adaptive_window import with_adaptive_window
from bench.throughput.drain import drain
from bench.throughput.latency import measure_latency
from bench.throughput.load import load
from bench.throughput.stages import measure_stages
from bench.throughput.verify import audit, replay_digest, require_same
from bench.workload import Workload

MS_PER_S: Final = 1000

OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A preset on this machine."""

    preset: Preset
    folder: Path
    """Where the servers keep their files: on the disk that is measured."""
    baselines: Sequence[Baseline]
    on_progress: OnProgress

    def run(self) -> Report:
        """Everything, one after the other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        at, began, machine = datetime.now(UTC), time.monotonic(), describe(self.folder)
        self._warn(machine.load_before, machine.processors)
        measured = [self._measure(each, compared=True) for each in self.preset.compared]
        rates = {
            each.workload.per_message: each.median(lambda repetition: repetition.drained.rate)
            for each in measured
        }
        paced = [
            self._measure_latency(each, rate=each.share * rates[each.per_message])
            for each in self.preset.latency
        ]
        measured += [self._measure(each, compared=False) for each in self.preset.others]
        return Report(
            preset=self.preset.name,
            at=at.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 1),
            machine=machine,
            measured=measured,
            paced=paced,
            peers=[
                BaselineNote(
                    key=each.key, what=each.what, does_not_guarantee=each.does_not_guarantee
                )
                for each in self.baselines
            ],
        )

    def _warn(self, load: float, processors: int) -> None:
        if load > processors / 4:
            self.on_progress(f"The machine is busy (load {load}): figures will be too low.")

    def _measure(self, planned: Workload, *, compared: bool) -> Measured:
        """All repetitions on one log."""
        return with_adaptive_window(
            planned, partial(self._measure_as_is, compared=compared), self.on_progress
        )

    def _measure_as_is(self, workload: Workload, *, compared: bool) -> Measured:
        with ExitStack() as stack:
            rounds = self._load(stack, workload)
            plain = self._load(stack, workload.undisturbed) if workload.is_disturbed else None
            return Measured(
                workload=workload,
                filled_per_s=rounds.loaded.bids_per_s,
                repetitions=[
                    rounds.repeat(number, compared=compared, plain=plain)
                    for number in range(1, self.preset.runs + 1)
                ],
            )

    def _load(self, stack: ExitStack, workload: Workload) -> "LogRounds":
        """A testbed for as long as the stack, with the log of the workload."""
        testbed = stack.enter_context(open_testbed(self.folder, window_ms=workload.window_ms))
        self.on_progress(f"{workload.name}: publishing {workload.bids:,} bids")
        loaded = asyncio.run(load(testbed.servers.nats_url, [workload]))
        return LogRounds(self, testbed, workload, loaded, replay_digest(testbed))

    def _measure_latency(self, planned: LatencyPlan, *, rate: float) -> LatencyRuns:
        messages = round(rate * planned.window_ms / MS_PER_S / planned.per_message)
        per_window = planned.per_message * max(1, messages)
        workload = Workload(
            name=f"windows of {planned.window_ms} ms, {planned.per_message} per message",
            per_message=planned.per_message,
            bids=per_window * round(planned.seconds * MS_PER_S / planned.window_ms),
            per_window=per_window,
            window_ms=planned.window_ms,
        )
        self.on_progress(f"{rate:,.0f} bids per second into {workload.name}, live")
        with open_testbed(self.folder, window_ms=workload.window_ms) as testbed:
            runs = [_latency_once(testbed, workload, rate=rate) for _ in range(self.preset.runs)]
        return LatencyRuns(workload=workload, runs=runs)


def _latency_once(testbed: Testbed, workload: Workload, *, rate: float) -> LatencyRun:
    with testbed.log_and_ledger() as ledger:
        run = measure_latency(testbed, ledger, workload, rate=rate)
        audit(ledger)
        require_same(run.digest, replayed=replay_digest(testbed))
    return run


@dataclass(frozen=True, slots=True)
class LogRounds:
    """One loaded log, on which everything is compared."""

    benchmark: Benchmark
    testbed: Testbed
    workload: Workload
    loaded: LoadedLog
    replayed: str

    def repeat(
        self, number: int, *, compared: bool, plain: "LogRounds | None" = None
    ) -> Repetition:
        """One round: the drain, its verification, and what it is compared with."""
        undisturbed = plain.drained(number) if plain else None
        drained = self.drained(number)
        if not compared:
            return Repetition(drained=drained, undisturbed=undisturbed)
        with self.testbed.ledger() as ledger:
            stages = measure_stages(self.testbed, ledger, self.loaded)
        taking_part = [each for each in self.benchmark.baselines if each.takes_part(number)]
        peers = {each.key: self._run(each, number) for each in taking_part}
        return Repetition(drained=drained, stages=stages, peers=peers)

    def drained(self, number: int) -> DrainRun:
        """The log drained into an empty ledger, which is verified."""
        with self.testbed.ledger() as ledger:
            drained = drain(self.testbed, ledger, self.loaded)
            audit(ledger)
            require_same(drained.digest, replayed=self.replayed)
        self._report(number, f"{drained.rate:,.0f} commands per second")
        return drained.summary()

    def _run(self, baseline: Baseline, number: int) -> BaselineRun:
        limit = self.benchmark.preset.baseline_bids_max
        run = run_baseline(self.testbed, baseline, self.workload, self.loaded, bids_max=limit)
        self._report(number, f"baseline {baseline.key}, {run.bid_rate:,.0f} bids per second")
        return run

    def _report(self, number: int, found: str) -> None:
        self.benchmark.on_progress(f"{self.workload.name}: run {number}, {found}")
