"""Faults are read exactly and happen once."""

import pytest

from tests.crash.failpoints import Fault


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kill",
        "commit.before",
        "commit.before:kil",
        "nowhere:kill",
        "lock:kill@0",
        "lock:kill@-1",
    ],
)
def test_a_fault_that_nobody_knows_is_refused(text: str) -> None:
    """A test whose fault never happens passes for the wrong reason."""
    with pytest.raises(AssertionError, match=r"no failpoint|no such point"):
        Fault.of(text)


def test_a_fault_happens_the_nth_time_and_once() -> None:
    """One that happened at every pass would kill its successor too."""
    happened: list[int] = []
    fault = Fault("lock", lambda: happened.append(turn), nth=2)
    for turn in range(1, 5):
        fault.reach("begin")
        fault.reach("lock")
        assert (turn > 1) == bool(happened)
    assert [2] == happened
