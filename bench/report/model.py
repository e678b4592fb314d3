"""What a benchmark measured, as it is stored: every run, so that anyone may judge the medians.

Promise: the names of the fields are the keys of the stored JSON, and stay. Ratios are taken within
one repetition, where both sides saw the same log and the same machine, and only then is their
median taken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

from bench.workload import Workload

KINDS: Final = ("broker", "worker", "database")
"""Of processes whose cost is counted."""
STAGES: Final = {
    "pull": "pull",
    "cut_windows": "windows",
    "decode": "decode",
    "allocate": "allocate",
    "commit": "commit",
    "announce": "results",
    "publish": "publish",
}
"""Each stage by its key in stored results: what it is called. `allocate` is all between decode and
commit: terms, admission, clearing, settlement, digest."""
MICROS_PER_S: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and with what a benchmark ran."""

    processor: str
    processors: int
    memory_gib: float
    system: str
    filesystem: str
    fsync_ms: float
    """To write a page and have it on the disk; the median."""
    load_before: float
    """Processes that wanted to run in the minute before: whatever was above 0 disturbed."""
    python: str
    packages: Mapping[str, str]
    commit: str
    """Of the code, with a + when it was changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRun:
    """One log drained into an empty ledger."""

    commands: int
    seconds: float
    claim_s: float
    """To read the shard's state from the ledger, before the flow starts."""
    lost_share: float
    """Of the bids: those that won nothing."""
    cpu_us: Mapping[str, float]
    """Processor microseconds per command, by kind of process."""
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
        """Commands per second."""
        return self.commands / self.seconds

    def summary(self) -> "DrainRun":
        """The run without what it was like at each moment."""
        return replace(self, progress=(), worker_mib=())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """One stage of the flow with nothing beside it."""

    rate: float
    """Commands per second."""
    cpu_us: float
    """Processor microseconds per command, of the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRun:
    """What a baseline did."""

    settled: int
    """Bids with an outcome in the baseline's database."""
    dropped: int
    """Bids that were read and have none."""
    seconds: float
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    """Processor microseconds per bid, by kind of process, where the baseline counts them."""

    @property
    def bid_rate(self) -> float:
        """Bids per second."""
        return self.settled / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRun:
    """One live run at one rate."""

    wanted_rate: float
    """Commands per second that were to be published."""
    rate: float
    """Commands per second that were."""
    bids: int
    window_ms: int
    latency_ms_p50: float
    latency_ms_p99: float
    latency_ms_max: float
    busy: Mapping[str, float]
    """Processors in use, by kind of process."""
    peak_mib: Mapping[str, float]
    digest: str

    @property
    def p99_windows(self) -> float:
        """The p99 in lengths of a window; to wait for the end of its window takes up to one."""
        return self.latency_ms_p99 / self.window_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsRun:
    """One run over several shards."""

    shards: int
    processes: int
    bid_rate: float
    """Bids per second, all shards together."""
    cpu_us: Mapping[str, float]
    """Processor microseconds per bid, by kind of process."""
    peak_mib: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """One round on a log: the drain, and where they are compared the stages and the baselines."""

    drained: DrainRun
    stages: Mapping[str, StageRun] = field(default_factory=dict)
    peers: Mapping[str, BaselineRun] = field(default_factory=dict)

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

    def baseline(self, key: str) -> list[float]:
        """Bids per second of one baseline, of each round."""
        return self.all(lambda repetition: repetition.peers[key].bid_rate)

    def baseline_us(self, key: str, kind: str) -> float:
        """Processor microseconds per bid of one kind of process of a baseline."""
        return self.median(lambda repetition: repetition.peers[key].cpu_us[kind])


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
