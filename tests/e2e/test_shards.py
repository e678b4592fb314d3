"""Two shards in two processes that are killed in the middle: each log gives its ledger."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest
from psycopg.rows import dict_row

from connectors.embedded.servers import Servers
from connectors.nats.topology import stream_identities
from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import claim
from flows.runtime.servers import open_servers
from flows.runtime.settings import load_settings
from state.errors import ShardReplaced
from tests.support.eventually import eventually
from tests.support.servers import fresh_database, open_folder
from tests.support.shell import DEADLINE_S, Walras, shell, start_up

SHARDS = ("0", "1")
MARKETS = ("m1", "m2", "m3", "m4")
SETTINGS = {"SHARDS": "2", "PROCESSES": "2", "WINDOW_MS": "200", "HEALTH_PORT": "0"}
MARKET = """
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
def deployment(end: signal.Signals, *, code: int) -> Iterator[psutil.Process]:
    """A deployment that runs until the block ends, and ends in this way."""
    up = start_up()
    try:
        yield psutil.Process(up.process.pid)
    finally:
        ended = up.stop(end)
    assert code == ended.code, ended.err


def flow_processes(deployment: psutil.Process) -> list[psutil.Process]:
    """The processes that run the flow now."""
    return [each for each in deployment.children() if runs_flow(each)]


def runs_flow(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it has just ended
        return "flows.runtime.supervisor" in process.cmdline()
    return False


def bid_everywhere(walras: Walras) -> None:
    for market in MARKETS:
        placed = walras("bid", market, "a1", "tokens", "5", "--price", "0.002", "--no-wait")
        assert 0 == placed.code, placed.err


def settled(walras: Walras) -> list[tuple[int, int]]:
    """How many bids of each shard are in the ledger."""
    return [(row["shard"], row["bids"]) for row in walras("sql", BIDS, "--json").json]


@pytest.fixture
def market_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A market file, in a folder without any deployment yet."""
    with open_folder() as home:
        monkeypatch.setenv("WALRAS_HOME", str(home))
        file = tmp_path / "market.toml"
        file.write_text(MARKET)
        yield file


def open_markets(walras: Walras, file: Path) -> None:
    for market in MARKETS:
        assert walras("market", "open", file, "--market", market).code == 0
        assert walras("grant", market, "a1", "10").code == 0


@pytest.mark.timeout(300)
def test_the_log_of_each_shard_gives_its_ledger(
    walras: Walras, market_file: Path, tmp_path: Path, servers: Servers
) -> None:
    """With all or one process killed between two bids, the ledger must be that of a quiet run."""
    with deployment(signal.SIGKILL, code=-signal.SIGKILL):
        open_markets(walras, market_file)
        bid_everywhere(walras)
        eventually(lambda: settled(walras) == [(0, 2), (1, 2)], within_s=DEADLINE_S)
    bid_everywhere(walras)
    with deployment(signal.SIGTERM, code=0) as up:
        bid_everywhere(walras)
        eventually(lambda: settled(walras) == [(0, 6), (1, 6)], within_s=DEADLINE_S)
        flow_processes(up)[0].kill()
        bid_everywhere(walras)
        eventually(lambda: settled(walras) == [(0, 8), (1, 8)], within_s=DEADLINE_S)

    for shard in SHARDS:
        live = walras("sql", DIGESTS.format(shard), "--json").json
        log = tmp_path / f"{shard}.jsonl"
        assert walras("log", "export", "--shard", shard, log).code == 0
        # The log continues behind the last window that was committed.
        assert live == replayed(walras, log, servers.postgres_dsn)[: len(live)]


@pytest.mark.timeout(300)
def test_a_shard_that_is_lost_stops_no_other(walras: Walras, market_file: Path) -> None:
    """One shard that moves to another deployment must not take the rest of the market down."""
    with deployment(signal.SIGTERM, code=ShardReplaced.exit_code) as up:
        open_markets(walras, market_file)
        bid_everywhere(walras)
        eventually(lambda: settled(walras) == [(0, 2), (1, 2)], within_s=DEADLINE_S)
        replace_writer(shard=1)
        eventually(lambda: 1 == len(flow_processes(up)), within_s=DEADLINE_S)
        bid_everywhere(walras)
        eventually(lambda: settled(walras) == [(0, 4), (1, 2)], within_s=DEADLINE_S)


def replace_writer(*, shard: int) -> None:
    """Claim a shard, as another deployment does."""
    with open_servers(load_settings()) as servers, connect(servers.postgres_dsn) as ledger:
        (stream,) = stream_identities(servers.nats_url, shards=[shard]).values()
        claim(ledger, shard, identity=stream, window_ms=load_settings().window_ms)


def replayed(walras: Walras, log: Path, dsn: str) -> list[dict[str, object]]:
    """The windows of the log with their digests, read seven messages at a time."""
    with fresh_database(dsn) as empty, psycopg.connect(empty, row_factory=dict_row) as conn:
        assert walras("replay", log, "--postgres", empty, "--batch-size", "7").code == 0
        return conn.execute(REPLAYED).fetchall()
