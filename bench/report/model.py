"""What a benchmark measured, as it is stored: every run, so that anyone may judge the medians.

Promise: the names of the fields are the keys of the stored JSON, and stay. Ratios are taken within
one repetition, where both sides saw the same log and the same machine, and only then is their
median taken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.report.runs import (
    STAGES,
    BaselineRun,
    DrainRun,
    LatencyRun,
    Machine,
    StageRun,
)
from bench.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One round on a log: the drain, and where they are compared the stages and the baselines."""

    drained: DrainRun
    stages: Mapping[str, StageRun] = field(default_factory=dict)
    peers: Mapping[str, BaselineRun] = field(default_factory=dict)
    """Those that took part in this round."""
    undisturbed: DrainRun | None = None
    """In the same round: the same bids without what is among them."""

    @property
    def kept_share(self) -> float:
        """The rate of the bids beside what disturbs them, as a share of that without it."""
        assert self.undisturbed is not None, "it is asked of a disturbed workload"
        return self.undisturbed.seconds / self.drained.seconds

    @property
    def whole_to_slowest(self) -> float:
        """The rate of the whole flow, as a share of its slowest stage alone."""
        return self.drained.rate / min(stage.rate for stage in self.stages.values())

    @property
    def worker_us(self) -> float:
        """Processor microseconds per command of all stages together, each alone."""
        return sum(stage.cpu_us for stage in self.stages.values())

    def times_faster(self, baseline: str) -> float:
        """How many times the bids per second of a baseline this is."""
        return self.drained.rate / self.peers[baseline].bid_rate

    def cost_ratio(self, baseline: str) -> float:
        """Processor time per bid, of all processes, as a share of what a baseline takes."""
        ours, theirs = self.drained.cpu_us, self.peers[baseline].cpu_us
        return sum(ours.values()) / sum(theirs.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All rounds on the log of one workload."""

    workload: Workload
    """As it was run: its windows may be longer than planned, where publishing was slow."""
    filled_per_s: float
    """Bids per second that one publisher put into the log."""
    repetitions: Sequence[Repetition]

    @property
    def compared(self) -> bool:
        """Whether stages and baselines were measured too."""
        return bool(self.repetitions[0].stages)

    @property
    def stages(self) -> list[str]:
        """The keys of the stages that were measured, in the order of the flow."""
        return [stage for stage in STAGES if stage in self.repetitions[0].stages]

    @property
    def is_disturbed(self) -> bool:
        """Whether the same bids were measured without what is among them."""
        return self.repetitions[0].undisturbed is not None

    def median(self, of: Callable[[Repetition], float]) -> float:
        """The median of a figure over the rounds."""
        return median(self.all(of))

    def all(self, of: Callable[[Repetition], float]) -> list[float]:
        """A figure of each round."""
        return [of(repetition) for repetition in self.repetitions]

    def cpu_us(self, kind: str) -> float:
        """Processor microseconds per command of one kind of process."""
        return self.median(lambda repetition: repetition.drained.cpu_us[kind])

    def peak_mib(self, kind: str) -> float:
        """The most memory of one kind of process."""
        return self.median(lambda repetition: repetition.drained.peak_mib[kind])

    def stage(self, stage: str) -> list[float]:
        """Commands per second of one stage alone, of each round."""
        return self.all(lambda repetition: repetition.stages[stage].rate)

    def stage_us(self, stage: str) -> float:
        """Processor microseconds per command that one stage alone takes of the worker."""
        return self.median(lambda repetition: repetition.stages[stage].cpu_us)

    def bid_rates(self, of: Callable[[Repetition], DrainRun | None]) -> list[float]:
        """Bids of the workload per second, whatever else was among them, of each round."""
        drained = [run for run in map(of, self.repetitions) if run is not None]
        return [self.workload.bids / run.seconds for run in drained]

    def beside(self, key: str) -> Sequence[Repetition]:
        """The rounds in which a baseline took part."""
        return [each for each in self.repetitions if key in each.peers]

    def baseline(self, key: str) -> list[float]:
        """Bids per second of one baseline, of each round of its own."""
        return [each.peers[key].bid_rate for each in self.beside(key)]

    def times_faster(self, key: str) -> float:
        """How many times the bids per second of a baseline this is, within a round."""
        return median(each.times_faster(key) for each in self.beside(key))

    def cost_ratio(self, key: str) -> float:
        """Processor time per bid as a share of what a baseline takes, within a round."""
        return median(each.cost_ratio(key) for each in self.beside(key))

    def baseline_us(self, key: str, kind: str) -> float:
        """Processor microseconds per bid of one kind of process of a baseline."""
        return median(each.peers[key].cpu_us[kind] for each in self.beside(key))


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRuns:
    """All runs at one window length and rate."""

    workload: Workload
    runs: Sequence[LatencyRun]

    def median(self, of: Callable[[LatencyRun], float]) -> float:
        """The median of a figure over the runs."""
        return median(of(run) for run in self.runs)

    def busy(self, kind: str) -> float:
        """Processors in use by one kind of process."""
        return self.median(lambda run: run.busy[kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineNote:
    """What a baseline is, for readers of the figures."""

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
    paced: Sequence[LatencyRuns]
    peers: Sequence[BaselineNote]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was measured at one size."""

    size: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What was made to grow, and what that did."""

    title: str
    grows: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingReport:
    """All that was made to grow."""

    preset: str
    at: str
    """When it began, in UTC."""
    seconds: float
    """That it took in all."""
    machine: Machine
    series: Sequence[Series]


def min_median_max(values: Iterable[float]) -> tuple[float, float, float]:
    """The least, the median and the most."""
    ordered = sorted(values)
    return ordered[0], median(ordered), ordered[-1]
