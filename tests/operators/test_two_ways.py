"""Over columns and one by one: the same rows, for runs that are drawn to tell the two apart."""

from collections import Counter
from itertools import chain, repeat
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.operators.runs import Run, runs
from tests.operators.steps import plain
from tests.operators.ways import counted, one_by_one

PARTS: Final = ("decoding", "admission", "clearing")
thorough = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("part", ["admission", "clearing", "decoding", "all"])
def test_a_run_settles_alike_both_ways(part: str) -> None:
    """A bid that is judged or priced otherwise in a crowd than alone makes two ledgers."""
    taken: Counter[str] = Counter()

    @given(run=runs())
    @thorough
    def settles_alike(run: Run) -> None:
        with counted() as counts:
            fast = plain(run.settled())
        taken.update(counts)
        with one_by_one(**{name: part in {name, "all"} for name in PARTS}):
            assert plain(run.settled()) == fast

    settles_alike()
    assert 4 == len(taken), f"a way that was never taken was not compared: {taken}"
    assert min(taken.values()) > 50, taken


@given(run=runs(), size=st.integers(1, 40), first=st.integers(1, 9))
@thorough
def test_batches_of_any_size_settle_alike(run: Run, size: int, first: int) -> None:
    """What is judged together depends on what was read together: the outcome may not."""
    assert plain(run.settled()) == plain(run.settled(chain([first], repeat(size))))
