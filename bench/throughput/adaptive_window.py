"""Longer windows for a machine that cannot publish a window's bids in time.

Promise: the workload that is measured states how long its windows were.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from bench.throughput.load import LoadTooSlow
from bench.workload import Workload

TRIES: Final = 3

T = TypeVar("T")


def with_adaptive_window(
    planned: Workload, measure: Callable[[Workload], T], on_progress: Callable[[str], None]
) -> T:
    """Measure as planned, or with windows so much longer that their bids fit in."""
    workload = planned
    for _ in range(1, TRIES):
        try:
            return measure(workload)
        except LoadTooSlow as slow:
            on_progress(f"{slow.detail}: retrying with longer windows")
            workload = replace(workload, window_ms=workload.window_ms * 2)
    return measure(workload)
