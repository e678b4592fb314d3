"""Faults are read exactly, happen once, and are not there when nobody asks for one."""

import pytest

from connectors.postgres.connection import connect
from flows import allocation
from flows.runtime.failpoints import Fault, known, parts
from state.errors import SettingsError


def test_without_a_fault_nothing_is_in_the_way() -> None:
    """A test's tool that costs every window something is taken out one day."""
    plain = parts(None)
    assert (connect, allocation.build) == (plain.connect, plain.build)


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
    with pytest.raises(SettingsError, match="the failpoint is not understood"):
        Fault.of(text)


def test_no_fault_is_no_mistake() -> None:
    """The usual case."""
    assert (None, "lock:cut@2") == (known(None), known("lock:cut@2"))


def test_a_fault_happens_the_nth_time_and_once() -> None:
    """One that happened at every pass would kill its successor too."""
    happened: list[int] = []
    fault = Fault("lock", lambda: happened.append(turn), nth=2)
    for turn in range(1, 5):
        fault.reach("begin")
        fault.reach("lock")
        assert (turn > 1) == bool(happened)
    assert [2] == happened
