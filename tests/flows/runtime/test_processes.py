"""Several processes as one: what ends one of them is what the deployment ends with."""

from flows.runtime.processes import _ended
from state.errors import ShardReplaced, WalrasError


def test_what_one_met_counts_more_than_how_its_neighbours_fell() -> None:
    """A supervisor that starts a replaced worker again, as one that crashed, makes two fight."""
    assert ShardReplaced is type(_ended({0: -6, 1: ShardReplaced.exit_code}))


def test_a_process_that_was_killed_is_told_with_all_that_fell() -> None:
    """Which of them was the first, only the person at the machine can tell."""
    fell = _ended({0: -6, 1: -9})
    assert WalrasError is type(fell)
    assert "process 0 with exit code -6, process 1 with exit code -9" == fell.detail
