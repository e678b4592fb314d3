"""What was true of a log once stays true: a changed digest is a decision, never an accident."""

import gzip
from itertools import repeat
from pathlib import Path
from typing import Final

import pytest

from connectors.files.logfile import read_batches
from flows.testing import settle_log
from tests.golden.logs import LOGS, WINDOW_MS
from tests.golden.recorded import HERE, expected, outcome, path_of, read
from tests.operators.steps import final_digest, settle
from tests.operators.ways import counted, one_by_one
from tests.support.flow import run_twin
from tests.support.rows import rows_of
from tests.twin.rows import in_order
from walras_schemas import METER_PRECEDENCE

EXPECTED: Final = expected()
SHORT: Final = [name for name in LOGS if name != "busy"]


def test_every_log_is_recorded_and_settled() -> None:
    """A log without a digest guards nothing, nor does a digest without its log."""
    files = {path.name for path in HERE.glob("*.jsonl.gz")}
    assert {path_of(name).name for name in EXPECTED} == files
    assert list(LOGS) == list(EXPECTED)


def test_the_recorded_logs_stay_small() -> None:
    """A repository that grows with every recording is one that nobody clones."""
    assert sum(path.stat().st_size for path in HERE.glob("*.gz")) < 2_000_000


@pytest.mark.parametrize("name", LOGS)
def test_the_outcome_is_the_recorded_one(name: str) -> None:
    """The digest, and in numbers what it is the digest of."""
    assert EXPECTED[name] == outcome(settle(read(name), window_ms=WINDOW_MS))


@pytest.mark.parametrize("name", LOGS)
def test_one_by_one_changes_nothing(name: str) -> None:
    """The sequential way is the definition: what is judged and cleared at once means the same."""
    with one_by_one():
        closed = settle(read(name), window_ms=WINDOW_MS)
    assert EXPECTED[name]["digest"] == final_digest(closed)


@pytest.mark.parametrize("name", LOGS)
def test_each_log_is_settled_over_columns(name: str) -> None:
    """A log that only ever took the sequential way would compare it with itself."""
    with counted() as counts:
        settle(read(name), window_ms=WINDOW_MS, sizes=repeat(5))
    assert counts["judged over columns"] > 0
    assert counts["cleared one by one" if name == "vickrey" else "cleared over columns"] > 0


@pytest.mark.parametrize("name", LOGS)
def test_batches_of_seven_change_nothing(name: str) -> None:
    """A ledger that depends on how its log was read cannot be compared with another."""
    closed = settle(read(name), window_ms=WINDOW_MS, sizes=repeat(7))
    assert EXPECTED[name]["digest"] == final_digest(closed)


@pytest.mark.parametrize("name", SHORT)
def test_single_messages_change_nothing(name: str) -> None:
    """The smallest batch is what a quiet stream gives."""
    closed = settle(read(name), window_ms=WINDOW_MS, sizes=repeat(1))
    assert EXPECTED[name]["digest"] == final_digest(closed)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_the_dataflow_settles_the_busy_log_alike(batch_size: int) -> None:
    """An engine that gave anything but what the steps give alone would write another ledger."""
    settled = settle_log(read("busy"), window_ms=WINDOW_MS, batch_size=batch_size)
    assert EXPECTED["busy"]["digest"] == final_digest(settled.windows)


@pytest.mark.parametrize("name", LOGS)
def test_the_twin_settles_each_log_alike(name: str) -> None:
    """A digest recorded from a wrong core would keep it wrong for ever."""
    log = read(name)
    expected = in_order(run_twin(log, WINDOW_MS))
    closed = settle(log, window_ms=WINDOW_MS)
    assert expected == in_order(rows_of(closed, window_ms=WINDOW_MS))


@pytest.mark.parametrize("name", SHORT)
def test_the_recorded_files_are_log_files(name: str, tmp_path: Path) -> None:
    """A user who replays a golden log by the command line must read the same messages."""
    plain = tmp_path / f"{name}.jsonl"
    plain.write_bytes(gzip.decompress(path_of(name).read_bytes()))
    batches = list(read_batches(plain, shard=0, batch_size=10_000, window_ms=WINDOW_MS))
    log = read(name)
    assert [record.payload for record in log] == batches[0].payloads
    assert [record.subject for record in log] == batches[0].subjects


def test_the_logs_hold_what_they_are_about() -> None:
    """A log about stale prices that has none would be golden in vain."""
    assert EXPECTED["silent_feed"]["stale_prices"] > 20 < EXPECTED["silent_feed"]["fresh_prices"]
    assert EXPECTED["malformed"]["dead_letters"] > 200
    assert sum(EXPECTED["busy"]["bids"].values()) + EXPECTED["busy"]["commands"] > 20_000
    assert EXPECTED["clock_trouble"]["idle_windows"] > 5
    assert min(EXPECTED["news"]["reasons"][name] for name in ("market_closed", "over_quota")) > 20
    assert EXPECTED["news"]["scarce_together"] > 20
    assert min(EXPECTED["meters"][name] for name in ("lots", "holds", "usage")) > 100
    for reason in METER_PRECEDENCE[2:]:
        assert reason in EXPECTED["meters"]["reasons"], reason
    for name in ("uniform", "uniform_lab", "pay_as_bid", "vickrey"):
        assert min(EXPECTED[name]["bids"].values()) > 0
