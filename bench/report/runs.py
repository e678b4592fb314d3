"""What single runs measured, as it is stored: of the market, of a stage, of a baseline, live.

Promise: the names of the fields are the keys of the stored JSON, and stay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

KINDS: Final = ("broker", "worker", "database")
"""Of processes whose cost is counted."""
STAGES: Final = {
    "pull": "pull",
    "cut_windows": "windows",
    "decode": "decode",
    "allocate": "allocate",
    "judge": "allocate: judge",
    "settle": "allocate: settle",
    "commit": "commit",
    "announce": "results",
    "publish": "publish",
}
"""Each stage by its key in stored results: what it is called. Version 1 was measured with all
between decode and commit as one, `allocate`; now `judge` is terms and admission, and `settle` is
clearing, payments, prices and digest."""
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
    heard: int = 0
    """Bids whose outcome the agents heard live."""
    heard_ms_p50: float = 0.0
    heard_ms_p99: float = 0.0

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
