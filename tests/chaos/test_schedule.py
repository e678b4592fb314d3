"""A failure of a chaos run is worth something when the run can be repeated."""

from itertools import combinations

from tests.chaos.schedule import KILLS, TERMS, Kind, schedule

HOUR_S = 3600


def test_the_seed_decides_the_schedule() -> None:
    """A run that fails with a seed must be hurt in the same places with it again."""
    assert schedule(7, HOUR_S) == schedule(7, HOUR_S)
    assert schedule(7, HOUR_S) != schedule(8, HOUR_S)


def test_everything_is_hurt() -> None:
    """A kind of fault that never comes is one that was never tested."""
    faults = [fault for storm in schedule(7, HOUR_S) for fault in storm]
    assert set(Kind) == {fault.kind for fault in faults}
    assert sum(KILLS.get(fault.kind, 0) for fault in faults) > 300


def test_one_target_has_one_fault_at_a_time() -> None:
    """A server that is killed while it is frozen cannot be thawed."""
    for storm in schedule(7, HOUR_S):
        for one, other in combinations(storm, 2):
            if TERMS[one.kind].target == TERMS[other.kind].target:
                assert one.until_s < other.at_s


def test_some_faults_come_together() -> None:
    """What each of two faults cannot do alone, both may do at once."""
    storms = schedule(7, HOUR_S)
    together = [
        (one, other)
        for storm in storms
        for one, other in combinations(storm, 2)
        if one.at_s <= other.at_s < one.until_s + 1
    ]
    assert len(together) > 50
