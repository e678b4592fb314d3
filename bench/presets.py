"""What is measured: quick, to see that it works and about how fast; full, to be published.

Promise: in every preset the bids of a workload fill whole windows, and each figure of `full` is the
median of three runs, but for the baselines that are many times slower: those run once.
"""

from dataclasses import dataclass
from typing import Final

from bench.workload import Workload

VERSION_BEFORE: Final = "a8d3d94"
"""The last commit with version 1 of the core, which `full` measures in the same run."""
SINGLE: Final = "1 per message"
HUNDRED: Final = "100 per message"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPlan:
    """A live run: its rate is a share of what the flow drained of such messages before."""

    window_ms: int
    seconds: float
    per_message: int = 1
    share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A plan of measurements."""

    name: str
    runs: int
    compared: tuple[Workload, ...]
    """With stages and baselines beside them; their rates set those of the latency runs."""
    others: tuple[Workload, ...]
    """Those that are disturbed are measured without the disturbance too, in the same rounds."""
    latency: tuple[LatencyPlan, ...]
    baseline_bids_max: int | None = None
    """A lower limit than the baselines' own, where those take too long."""


QUICK: Final = Preset(
    name="quick",
    runs=1,
    compared=(
        Workload(name=SINGLE, bids=50_000, agents=1_000),
        Workload(name=HUNDRED, bids=100_000, per_message=100, agents=1_000, window_ms=500),
    ),
    others=(),
    latency=(LatencyPlan(window_ms=100, seconds=5, per_message=100),),
    baseline_bids_max=2_000,
)

FULL: Final = Preset(
    name="full",
    runs=3,
    compared=(
        Workload(name=SINGLE, bids=60_000),
        Workload(name=HUNDRED, bids=150_000, per_message=100, window_ms=500),
    ),
    others=(
        Workload(
            name="bundles of four",
            bids=100_000,
            per_message=100,
            window_ms=500,
            bundles=True,
        ),
        Workload(name="withdrawals among bids", bids=40_000, withdrawals=1_000),
        Workload(name="a hostile sender", bids=40_000, hostile=200),
        Workload(name="what was won is spent", bids=40_000, metered=5_000),
    ),
    latency=(
        LatencyPlan(window_ms=100, seconds=5),
        LatencyPlan(window_ms=1_000, seconds=5),
        LatencyPlan(window_ms=100, seconds=5, per_message=100),
    ),
)

PRESETS: Final = {preset.name: preset for preset in (QUICK, FULL)}
