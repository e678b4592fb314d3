"""The flow and the naive twin give the same rows for the same log, however its batches fall.

`TWIN_LOGS=20000 pytest tests/operators/test_twin.py` settles that many random logs instead of 2000.
"""

import os
from collections.abc import Iterator
from itertools import chain, repeat
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings

from flows.testing import LogRecord, settle_log
from tests.operators.steps import settle
from tests.support.flow import run_twin
from tests.support.generated_logs import LOGS
from tests.support.rows import rows_of
from tests.twin.random_logs import random_log
from tests.twin.rows import in_order

LOGS_TO_SETTLE: Final = int(os.environ.get("TWIN_LOGS", "2000"))
LOGS_PER_TEST: Final = 40
WINDOWS_MS: Final = (1000, 1000, 250, 4000)


def length_of(seed: int) -> int:
    """Commands of a random log: most are short, as many short ones see more than one long one."""
    return 60 + seed % 240 if seed % 4 == 0 else 60


def random_sizes(seed: int) -> Iterator[int]:
    rng = Random(seed)
    while True:
        yield rng.choice([1, 2, 3, 7, 20, 100])


@pytest.mark.parametrize("first_seed", range(0, LOGS_TO_SETTLE, LOGS_PER_TEST))
def test_random_logs_settle_as_the_twin_says(first_seed: int) -> None:
    """Made fast, the core could come to mean something else: the twin means what the page means."""
    for seed in range(first_seed, min(first_seed + LOGS_PER_TEST, LOGS_TO_SETTLE)):
        window_ms = WINDOWS_MS[seed % len(WINDOWS_MS)]
        log = random_log(seed, commands=length_of(seed), window_ms=window_ms)
        closed = settle(log, window_ms=window_ms, sizes=random_sizes(seed))
        assert in_order(run_twin(log, window_ms)) == in_order(
            rows_of(closed, window_ms=window_ms)
        ), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
def test_the_dataflow_settles_as_the_twin_says(seed: int) -> None:
    """The steps could be right and yet be wired in a way that loses or reorders a batch."""
    log = random_log(10_000 + seed, commands=200)
    settled = settle_log(log, window_ms=1000, batch_size=1 + seed * 7)
    assert in_order(run_twin(log, 1000)) == in_order(rows_of(settled.windows, window_ms=1000))


@given(log=LOGS)
@settings(max_examples=100, deadline=None)
def test_any_small_log_settles_as_the_twin_says(log: list[LogRecord]) -> None:
    """A difference that hides in a long log is shown here by the shortest log that has it."""
    closed = settle(log, sizes=chain([1, 2, 3], repeat(20)))
    assert in_order(run_twin(log, 1000)) == in_order(rows_of(closed, window_ms=1000))
