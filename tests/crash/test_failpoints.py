"""Killed, paused or cut off at any point of a window's way: the ledger is that of a quiet day."""

import signal
from itertools import product
from typing import Final

import pytest

from tests.crash.bench import WINDOWS, Stand
from tests.crash.failpoints import POINTS
from tests.crash.log import TICK, next_window, say
from tests.crash.process import stand_still

PLACES: Final = ("first", "middle", "last")
PAUSES: Final = ("copy.bid", "commit.before", "publish.before", "next")
"""A pause in the middle of a commit takes seconds to get over: these are for every day."""
REPLACED: Final = 5


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" not in metafunc.fixturenames:
        return
    if metafunc.config.getoption("--whole", default=False):
        cases = list(product(POINTS, PLACES))
    elif metafunc.function is test_paused_and_replaced:
        cases = [(point, place) for point, place in some() if point in PAUSES]
    else:
        cases = some()
    metafunc.parametrize(("point", "place"), cases)


def some() -> list[tuple[str, str]]:
    """Every point once, the windows by turns."""
    return [(point, PLACES[number % 3]) for number, point in enumerate(POINTS)]


def nth(stand: Stand, point: str, place: str) -> int:
    """The how manieth time the point is reached in that place of the log."""
    last = WINDOWS if stand.hits[point] == WINDOWS else stand.hits[point] * 3 // 4
    return {"first": 1, "middle": (last + 1) // 2, "last": last}[place]


def test_every_point_is_passed_in_every_window(stand: Stand) -> None:
    """A point that nothing reaches would make its row of the matrix a row of nothing."""
    assert set(POINTS) == set(stand.hits)
    assert [] == [point for point in POINTS if stand.hits[point] < WINDOWS]


def test_killed(stand: Stand, point: str, place: str) -> None:
    """A process that dies without a word leaves half of something behind, at every point."""
    with stand.case() as case:
        with case.up(f"{point}:kill@{nth(stand, point, place)}") as killed:
            assert -signal.SIGKILL == killed.wait()
        with case.up() as successor:
            case.await_end(claims=2)
            assert 0 == successor.stop()
        case.check()


def test_paused_and_replaced(stand: Stand, point: str, place: str) -> None:
    """A process that sleeps through its own replacement wakes up in the belief that it is alone."""
    with (
        stand.case() as case,
        case.up(f"{point}:pause@{nth(stand, point, place)}") as zombie,
    ):
        stand_still(zombie)
        with case.up() as successor:
            case.await_end(claims=2)
            zombie.signal(signal.SIGCONT)
            next_window()
            say(stand.nc, [TICK])  # where all is done, only the next window tells
            assert REPLACED == zombie.wait(), zombie.said
            assert "another worker has claimed shard 0" in zombie.said
            assert 0 == successor.stop()
        case.check()


def test_cut_off(stand: Stand, point: str, place: str) -> None:
    """A connection that breaks leaves open whether what was said last was heard."""
    with (
        stand.case() as case,
        case.up(f"{point}:cut@{nth(stand, point, place)}") as cut,
    ):
        case.await_end(claims=1)
        assert 0 == cut.stop()
        case.check()
