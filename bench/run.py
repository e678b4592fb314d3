"""Run a preset: fill a log for each workload, drain it, prove the ledger, measure the others on it.

Promise: every figure belongs to a ledger whose books add up and whose digest a replay of the log
gave again; a run without that proof ends the benchmark with an error.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from bench.baselines.contract import Peer
from bench.baselines.registry import run_peer
from bench.harness.machine import describe
from bench.harness.testbed import Stand, stand
from bench.presets import Pace, Preset
from bench.report.model import Measured, PacedRuns, PeerNote, Repetition, Report
from bench.throughput.adaptive_window import with_room
from bench.throughput.drain import drain
from bench.throughput.latency import Paced, pace
from bench.throughput.load import Filled, fill
from bench.throughput.stages import ceilings
from bench.throughput.verify import check_books, replay_digest, require_same
from bench.workload import Workload

MS_PER_S: Final = 1000

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A preset on this machine."""

    preset: Preset
    folder: Path
    """Where the servers keep their files: on the disk that is measured."""
    peers: Sequence[Peer]
    tell: Tell

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
            self._pace(each, rate=each.share * rates[each.per_message])
            for each in self.preset.paced
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
                PeerNote(key=each.key, what=each.what, does_not_guarantee=each.does_not_guarantee)
                for each in self.peers
            ],
        )

    def _warn(self, load: float, processors: int) -> None:
        if load > processors / 4:
            self.tell(f"The machine is busy (load {load}): figures will be too low.")

    def _measure(self, planned: Workload, *, compared: bool) -> Measured:
        """All repetitions on one log."""
        return with_room(planned, partial(self._measure_as_is, compared=compared), self.tell)

    def _measure_as_is(self, workload: Workload, *, compared: bool) -> Measured:
        with stand(self.folder, window_ms=workload.window_ms) as place:
            self.tell(f"{workload.name}: publishing {workload.bids:,} bids")
            filled = asyncio.run(fill(place.servers.nats_url, [workload]))
            on_log = OnLog(self, place, workload, filled, replay_digest(place))
            return Measured(
                workload=workload,
                filled_per_s=filled.bids_per_s,
                repetitions=[
                    on_log.repeat(number, compared=compared)
                    for number in range(1, self.preset.runs + 1)
                ],
            )

    def _pace(self, planned: Pace, *, rate: float) -> PacedRuns:
        messages = round(rate * planned.window_ms / MS_PER_S / planned.per_message)
        per_window = planned.per_message * max(1, messages)
        workload = Workload(
            name=f"windows of {planned.window_ms} ms, {planned.per_message} a message",
            per_message=planned.per_message,
            bids=per_window * round(planned.seconds * MS_PER_S / planned.window_ms),
            per_window=per_window,
            window_ms=planned.window_ms,
        )
        self.tell(f"{rate:,.0f} bids a second into {workload.name}, live")
        with stand(self.folder, window_ms=workload.window_ms) as place:
            runs = [_pace_once(place, workload, rate=rate) for _ in range(self.preset.runs)]
        return PacedRuns(workload=workload, runs=runs)


def _pace_once(place: Stand, workload: Workload, *, rate: float) -> Paced:
    with place.log_and_ledger() as ledger:
        paced = pace(place, ledger, workload, rate=rate)
        check_books(ledger)
        require_same(paced.digest, replayed=replay_digest(place))
    return paced


@dataclass(frozen=True, slots=True)
class OnLog:
    """One filled log, on which every contender runs."""

    benchmark: Benchmark
    place: Stand
    workload: Workload
    filled: Filled
    replayed: str

    def repeat(self, number: int, *, compared: bool) -> Repetition:
        """One round: the drain, its proof, and what it is compared with."""
        tell, name = self.benchmark.tell, self.workload.name
        with self.place.ledger() as ledger:
            drained = drain(self.place, ledger, self.filled)
            check_books(ledger)
            require_same(drained.digest, replayed=self.replayed)
        tell(f"{name}: run {number}, {drained.rate:,.0f} commands a second")
        if not compared:
            return Repetition(drained=drained.summary())
        with self.place.ledger() as ledger:
            stages = ceilings(self.place, ledger, self.filled)
        peers = {}
        for peer in self.benchmark.peers:
            limit = self.benchmark.preset.peer_bids_max
            peers[peer.key] = run_peer(self.place, peer, self.workload, self.filled, bids_max=limit)
            tell(f"{name}: run {number}, peer {peer.key}, {peers[peer.key].bid_rate:,.0f} bids/s")
        return Repetition(drained=drained.summary(), stages=stages, peers=peers)
