"""`walras replay` of recorded logs into a real Postgres, as an independent checker runs it."""

import gzip
import json
from pathlib import Path

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import claim
from connectors.postgres.migrate import migrate
from state.shard import StreamIdentity
from tests.golden.logs import WINDOW_MS
from tests.golden.recorded import expected, path_of
from tests.support.shell import Walras, shell

EXPECTED = expected()
STREAM = StreamIdentity("SHARD_0", 1_760_000_000_000_000_000)


@pytest.fixture
def walras(capsys: pytest.CaptureFixture[str]) -> Walras:
    return shell(capsys)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return recorded(tmp_path, "malformed")


def recorded(folder: Path, name: str) -> Path:
    """A golden log as `walras log export` would have written it."""
    file = folder / f"{name}.jsonl"
    file.write_bytes(gzip.decompress(path_of(name).read_bytes()))
    return file


def replayed(walras: Walras, file: Path, dsn: str, *words: str) -> dict[str, int | str]:
    asked = walras("replay", file, "--window-ms", str(WINDOW_MS), "--postgres", dsn, *words)
    told: dict[str, int | str] = asked.json
    return told


@pytest.mark.parametrize("batch_size", ["1", "7", "1000"])
def test_batches_do_not_matter(
    walras: Walras, log: Path, postgres_dsn: str, batch_size: str
) -> None:
    """Whoever checks a digest elsewhere reads the log in batches of their own."""
    told = replayed(walras, log, postgres_dsn, "--batch-size", batch_size)
    assert EXPECTED["malformed"]["digest"] == told["digest"]


@pytest.mark.parametrize("name", ["uniform", "vickrey", "clock_trouble"])
def test_a_recorded_log_is_told_in_one_line(
    walras: Walras, tmp_path: Path, postgres_dsn: str, name: str
) -> None:
    """A checker reads these five numbers, and nothing else may come with them."""
    golden = EXPECTED[name]
    assert {
        "windows": golden["windows"],
        "digest": golden["digest"],
        "bids": sum(golden["bids"].values()),
        "accepted": sum(golden["bids"].values()) - golden["bids"]["rejected"],
        "rejected": golden["bids"]["rejected"],
    } == replayed(walras, recorded(tmp_path, name), postgres_dsn)


def test_a_ledger_that_holds_a_log_is_left_alone(
    walras: Walras, log: Path, postgres_dsn: str
) -> None:
    """Two logs in one ledger are the books of no market."""
    first = replayed(walras, log, postgres_dsn)
    again = walras("replay", log, "--postgres", postgres_dsn)
    assert (
        2,
        "error: the ledger to replay into is not empty",
    ) == (again.code, again.err.splitlines()[0])
    with connect(postgres_dsn) as conn:
        assert first["windows"] == windows(conn)


def test_the_ledger_of_a_deployment_is_left_alone(
    walras: Walras, log: Path, postgres_dsn: str
) -> None:
    """A replay that claimed the shard would stop the deployment that writes it."""
    migrate(postgres_dsn)
    with connect(postgres_dsn) as conn:
        claim(conn, 0, identity=STREAM, window_ms=WINDOW_MS)
        conn.execute("UPDATE ledger.shard SET next_seq = 43")
        refused = walras("replay", log, "--postgres", postgres_dsn)
        assert (2, "  it holds 42 messages of a log") == (refused.code, refused.err.splitlines()[1])
        assert (1,) == conn.execute("SELECT token FROM ledger.shard").fetchone()


@pytest.mark.parametrize("spoilt", ["", '{"seq": 1', json.dumps({"seq": 2})])
def test_a_file_that_was_refused_leaves_the_database_fit_for_another(
    walras: Walras, log: Path, postgres_dsn: str, tmp_path: Path, spoilt: str
) -> None:
    """A mistyped name must not cost a new database."""
    file = tmp_path / "spoilt.jsonl"
    if spoilt:
        file.write_text(f"{spoilt}\n")
    assert 2 == walras("replay", file, "--postgres", postgres_dsn).code
    told = replayed(walras, log, postgres_dsn)
    assert EXPECTED["malformed"]["digest"] == told["digest"]


def windows(conn: Connection) -> int:
    row = conn.execute("SELECT count(*) FROM walras.windows").fetchone()
    assert row is not None
    return int(row[0])
