"""The baselines do the job that they are timed for: whole windows, within the supply, paid for."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psycopg
import pytest

from bench.baselines.contract import Baseline, Job
from bench.baselines.pathway_run import run_pathway
from bench.baselines.registry import BASELINES, available_baselines
from bench.baselines.version_before import COMPLETE, revision_of, run_version
from bench.baselines.version_before_program import PLACES, find, workload_of
from bench.harness.machine import REPOSITORY
from bench.presets import VERSION_BEFORE
from bench.report.runs import KINDS
from bench.workload import GRANT_MICROS
from flows.runtime.servers import Servers
from state.errors import WalrasError
from tests.bench.conftest import WORKLOAD, Bench

EARLIEST = "a822c7d"
"""So early that the parts of its benchmark are in other places."""

of_each = pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: baseline.key)


@pytest.fixture
def connection(database: Servers) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.postgres_dsn, autocommit=True) as connection:
        yield connection


@of_each
def test_every_bid_gets_its_outcome(
    bench: Bench, database: Servers, connection: psycopg.Connection, baseline: Baseline
) -> None:
    """A baseline that drops bids, sells too much or lets nobody pay is not comparable."""
    run = baseline.run(bench.job(database))
    assert (WORKLOAD.bids, 0) == (run.settled, run.dropped)
    assert run.bid_rate > 0
    windows = connection.execute(
        """
        SELECT sum(quantity), sum(won), min(price) FILTER (WHERE won = quantity),
            max(price) FILTER (WHERE won = 0)
        FROM bid GROUP BY window_id, resource
        """
    ).fetchall()
    assert 3 * 4 == len(windows)
    for asked, won, _, _ in windows:
        assert min(WORKLOAD.supply, asked) == won
    assert [] == [window for window in windows if window[3] and window[3] > window[2]]
    paid = connection.execute("SELECT sum(price * won) FROM bid").fetchall()
    spent = connection.execute(f"SELECT sum({GRANT_MICROS} - balance) FROM account").fetchall()  # noqa: S608
    assert paid == spent


@of_each
def test_a_slow_baseline_settles_what_it_has_read(
    bench: Bench, database: Servers, baseline: Baseline
) -> None:
    """Bids that were counted and left open would be work that nobody did."""
    run = baseline.run(bench.job(database, bids_max=100))
    assert 0 == run.dropped
    assert 100 <= run.settled < WORKLOAD.bids


def test_pathway_takes_part_only_where_it_is_given() -> None:
    """It is far too large to be installed for everyone."""
    without, with_it = available_baselines(None), available_baselines(Path("python"))
    assert "abc" == "".join(baseline.key for baseline in without)
    assert "abcd" == "".join(baseline.key for baseline in with_it)


def test_a_python_without_pathway_is_an_error(bench: Bench, database: Servers) -> None:
    """Two minutes of waiting for a program that has exited explain nothing."""
    with pytest.raises(WalrasError, match="No module named 'pathway'"):
        run_pathway(Path(sys.executable), bench.job(database))


@pytest.mark.parametrize("commit", [EARLIEST, VERSION_BEFORE])
def test_an_earlier_version_drains_the_workload(
    bench: Bench, database: Servers, commit: str
) -> None:
    """A gain over figures of another day is a gain over another state of the machine."""
    known = ["git", "cat-file", "-e", commit]
    if subprocess.run(known, cwd=REPOSITORY, check=False).returncode:
        pytest.skip("the history of this checkout does not reach back")
    job = bench.job(database)
    checkout = job.folder / f"version-{revision_of(commit)}"
    (checkout / ".venv/bin").mkdir(parents=True)  # what an interruption left is not used
    run = run_version(commit, job)
    assert (checkout / COMPLETE).exists()
    assert (WORKLOAD.bids, 0) == (run.settled, run.dropped)
    assert set(KINDS) == set(run.cpu_us)
    assert run.bid_rate > 0


def test_a_commit_that_is_unknown_is_an_error(bench: Bench, database: Servers) -> None:
    """A traceback at the end of ten minutes does not say that the commit was misspelt."""
    with pytest.raises(WalrasError, match="git, exit code 128"):
        run_version("nosuchcommit", bench.job(database))
    with pytest.raises(WalrasError, match="git, exit code 128"):
        available_baselines(None, "nosuchcommit")


def test_an_earlier_version_is_given_what_it_knows() -> None:
    """A field that was added since would end every comparison with a traceback."""
    described = asdict(WORKLOAD)
    assert WORKLOAD == workload_of({**described, "later": 0})
    with pytest.raises(AssertionError, match="'later': 7"):
        workload_of({**described, "later": 7})


def test_only_what_is_compared_by_medians_takes_part_in_every_round() -> None:
    """A median of one is no median, and baselines that are slow by far would take minutes."""
    every = available_baselines(Path("python"), "HEAD")
    rounds = [[each.key for each in every if each.takes_part(number)] for number in (1, 2, 3)]
    assert [list("abcde"), list("de"), list("de")] == rounds


def test_the_next_version_can_be_measured_against_this_one() -> None:
    """A part that was renamed is missed only when somebody wants to compare."""
    newest = {part: places[0] for part, places in PLACES.items()}
    found = {part: find(part) for part in PLACES}
    assert newest == {part: f"{it.__module__}:{it.__name__}" for part, it in found.items()}


def test_a_batch_of_a_baseline_is_counted_in_bids() -> None:
    """A fetch of 500 messages of 100 bids would keep a slow baseline busy for minutes."""
    job = Job(nats_url="", dsn="", folder=Path(), workload=WORKLOAD, last_seq=300, bids_max=1)
    assert [250, 20] == [job.fetch(0), job.fetch(280)]
