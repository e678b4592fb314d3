"""What a benchmark found, as it is written down: every run, so that anyone may judge the medians.

Promise: ratios are taken within one repetition, where both sides saw the same log and the same
machine, and only then is their median taken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.baselines.contract import PeerRun
from bench.harness.machine import Machine
from bench.throughput.drain import Drained
from bench.throughput.latency import Paced
from bench.throughput.stages import Alone
from bench.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One round on a log: the drain, and where they were asked for the stages and the peers."""

    drained: Drained
    stages: Mapping[str, Alone] = field(default_factory=dict)
    peers: Mapping[str, PeerRun] = field(default_factory=dict)

    @property
    def whole_to_slowest(self) -> float:
        """The rate of the whole flow in that of its slowest stage alone."""
        return self.drained.rate / min(stage.rate for stage in self.stages.values())

    @property
    def worker_us(self) -> float:
        """Processor microseconds a command of all stages together, each alone."""
        return sum(stage.cpu_us for stage in self.stages.values())

    def times_faster(self, peer: str) -> float:
        """How many times the bids a second of a peer this is."""
        return self.drained.rate / self.peers[peer].bid_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All rounds on the log of one workload."""

    workload: Workload
    """As it was run: its windows may be longer than planned, where publishing was slow."""
    filled_per_s: float
    """Bids a second that one publisher put into the log."""
    repetitions: Sequence[Repetition]

    @property
    def compared(self) -> bool:
        """Whether stages and peers were measured too."""
        return bool(self.repetitions[0].stages)

    def median(self, of: Callable[[Repetition], float]) -> float:
        """The median of a figure over the rounds."""
        return median(self.all(of))

    def all(self, of: Callable[[Repetition], float]) -> list[float]:
        """A figure of each round."""
        return [of(repetition) for repetition in self.repetitions]

    def cpu_us(self, kind: str) -> float:
        """Processor microseconds a command of one kind of process."""
        return self.median(lambda repetition: repetition.drained.cpu_us[kind])

    def peak_mib(self, kind: str) -> float:
        """The most memory of one kind of process."""
        return self.median(lambda repetition: repetition.drained.peak_mib[kind])

    def stage(self, stage: str) -> list[float]:
        """Commands a second of one stage alone, of each round."""
        return self.all(lambda repetition: repetition.stages[stage].rate)

    def stage_us(self, stage: str) -> float:
        """Processor microseconds a command that one stage alone takes of the worker."""
        return self.median(lambda repetition: repetition.stages[stage].cpu_us)

    def peer(self, key: str) -> list[float]:
        """Bids a second of one peer, of each round."""
        return self.all(lambda repetition: repetition.peers[key].bid_rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedRuns:
    """All runs at one window length and rate."""

    workload: Workload
    runs: Sequence[Paced]

    def median(self, of: Callable[[Paced], float]) -> float:
        """The median of a figure over the runs."""
        return median(of(run) for run in self.runs)

    def busy(self, kind: str) -> float:
        """Processors in use by one kind of process."""
        return self.median(lambda run: run.busy[kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerNote:
    """Who a peer is, for readers of the figures."""

    key: str
    what: str
    does_not_guarantee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole benchmark."""

    preset: str
    at: str
    """When it began, in UTC."""
    seconds: float
    """That it took in all."""
    machine: Machine
    measured: Sequence[Measured]
    paced: Sequence[PacedRuns]
    peers: Sequence[PeerNote]


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Least, median and most."""
    ordered = sorted(values)
    return ordered[0], median(ordered), ordered[-1]
