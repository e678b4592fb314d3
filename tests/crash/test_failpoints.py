"""Killed, paused or cut off at any point of a window's way: the ledger is that of a quiet day."""

import json
import signal
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from connectors.postgres.reads.queries import open_reader
from tests.crash.bench import WINDOWS, CrashBench, replayed
from tests.crash.failpoints import POINTS
from tests.crash.log import TICK, next_window, publish
from tests.crash.process import await_paused
from walras_schemas import AgentResult, HistoryQuery, HistoryReply

PLACES: Final = ("first", "middle", "last")
PAUSES: Final = ("copy.bid", "commit.before", "publish.before", "publish.live", "next")
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


def nth(bench: CrashBench, point: str, place: str) -> int:
    """The how manieth time the point is reached in that place of the log."""
    last = WINDOWS if bench.hits[point] == WINDOWS else bench.hits[point] * 3 // 4
    return {"first": 1, "middle": (last + 1) // 2, "last": last}[place]


def test_every_point_is_passed_in_every_window(bench: CrashBench) -> None:
    """A point that nothing reaches would make its row of the matrix a row of nothing."""
    assert set(POINTS) == set(bench.hits)
    assert [] == [point for point in POINTS if bench.hits[point] < WINDOWS]


def test_the_history_has_what_was_published(bench: CrashBench, tmp_path: Path) -> None:
    """An agent that missed a result asks for it: the answer must be the message that it missed."""
    agents = {agent for _, _, agent in bench.due.results}
    with replayed(bench.servers, tmp_path) as dsn, open_reader(dsn) as reader:
        answers = [reader.history("m1", agent, HistoryQuery(limit=WINDOWS)) for agent in agents]
    assert {
        key: AgentResult.model_validate_json(json.dumps(content))
        for key, content in bench.due.results.items()
    } == {
        (result.window_id, "m1", result.agent_id): result
        for answer in answers
        if isinstance(answer, HistoryReply)
        for result in answer.results
    }


def test_killed(bench: CrashBench, point: str, place: str) -> None:
    """A process that dies without a word leaves half of something behind, at every point."""
    with bench.case() as case:
        with case.up(f"{point}:kill@{nth(bench, point, place)}") as killed:
            assert -signal.SIGKILL == killed.wait()
        case.check_heard()
        with case.up() as successor:
            case.await_end(claims=2)
            assert 0 == successor.stop()
        case.check()


def test_paused_and_replaced(bench: CrashBench, point: str, place: str) -> None:
    """A process that sleeps through its own replacement wakes up in the belief that it is alone."""
    with (
        bench.case() as case,
        case.up(f"{point}:pause@{nth(bench, point, place)}") as zombie,
    ):
        await_paused(zombie)
        case.check_heard()
        with case.up() as successor:
            case.await_end(claims=2)
            zombie.signal(signal.SIGCONT)
            next_window()
            publish(bench.nc, [TICK])  # where all is done, only the next window shows it
            assert REPLACED == zombie.wait(), zombie.output
            assert "another process took over shard 0" in zombie.output
            assert 0 == successor.stop()
        case.check()


def test_cut_off(bench: CrashBench, point: str, place: str) -> None:
    """A connection that breaks leaves open whether what was said last was heard."""
    with (
        bench.case() as case,
        case.up(f"{point}:cut@{nth(bench, point, place)}") as cut,
    ):
        case.await_end(claims=1)
        assert 0 == cut.stop()
        case.check()
