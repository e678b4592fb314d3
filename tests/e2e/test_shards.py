"""Two shards in two processes of two workers, killed in the middle: each log gives its ledger."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg.rows import dict_row

from connectors.embedded.servers import Servers
from tests.support.eventually import eventually
from tests.support.servers import fresh_database, open_folder
from tests.support.shell import DEADLINE_S, Walras, shell, start_up

SHARDS: Final = ("0", "1")
MARKETS: Final = ("m1", "m2", "m3", "m4")
SETTINGS: Final = {
    "SHARDS": "2",
    "WORKERS": "2",
    "PROCESSES": "2",
    "WINDOW_MS": "200",
    "HEALTH_PORT": "0",
}
MARKET: Final = """
[resources.tokens]
supply = 100
initial_price_micros = 1_000
"""
DIGESTS: Final = "SELECT window_id, digest FROM windows WHERE shard = {} ORDER BY window_id"
REPLAYED: Final = "SELECT window_id, digest FROM walras.windows ORDER BY window_id"
BIDS: Final = (
    "SELECT shard, count(*) AS bids FROM bids WHERE status <> 'rejected' GROUP BY 1 ORDER BY 1"
)


@pytest.fixture
def walras(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Walras:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"WALRAS_{name}", value)
    return shell(capsys)


@contextmanager
def deployment(end: signal.Signals) -> Iterator[None]:
    """A deployment that runs until the block ends, and ends in this way."""
    up = start_up()
    try:
        yield
    finally:
        ended = up.stop(end)
    assert ended.code == (0 if end is signal.SIGTERM else -end)


def bid_everywhere(walras: Walras) -> None:
    for market in MARKETS:
        placed = walras("bid", market, "a1", "tokens", "5", "--price", "0.002")
        assert 0 == placed.code, placed.err


def settled(walras: Walras) -> list[tuple[int, int]]:
    """How many bids of each shard are in the ledger."""
    return [(row["shard"], row["bids"]) for row in walras("sql", BIDS, "--json").json]


@pytest.mark.timeout(300)
def test_the_log_of_each_shard_gives_its_ledger(
    walras: Walras, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: Servers
) -> None:
    """More workers than shards, and a kill between two bids, must leave the books of one run."""
    with open_folder() as home:
        monkeypatch.setenv("WALRAS_HOME", str(home))
        file = tmp_path / "market.toml"
        file.write_text(MARKET)
        with deployment(signal.SIGKILL):
            for market in MARKETS:
                assert 0 == walras("market", "open", file, "--market", market).code
                assert 0 == walras("grant", market, "a1", "10").code
            bid_everywhere(walras)
            eventually(lambda: settled(walras) == [(0, 2), (1, 2)], within_s=DEADLINE_S)
        bid_everywhere(walras)
        with deployment(signal.SIGTERM):
            bid_everywhere(walras)
            eventually(lambda: settled(walras) == [(0, 6), (1, 6)], within_s=DEADLINE_S)

        for shard in SHARDS:
            live = walras("sql", DIGESTS.format(shard), "--json").json
            log = tmp_path / f"{shard}.jsonl"
            assert 0 == walras("log", "export", "--shard", shard, log).code
            # The log continues after the last window that was committed.
            assert live == replayed(walras, log, servers.postgres_dsn)[: len(live)]


def replayed(walras: Walras, log: Path, dsn: str) -> list[dict[str, object]]:
    """The windows of the log with their digests, from two workers that take seven at a time."""
    with fresh_database(dsn) as empty, psycopg.connect(empty, row_factory=dict_row) as conn:
        workers = ("--workers", "2", "--batch-size", "7")
        assert 0 == walras("replay", log, "--postgres", empty, *workers).code
        return conn.execute(REPLAYED).fetchall()
