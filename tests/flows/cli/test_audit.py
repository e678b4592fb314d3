"""`walras audit` on the command line: its exit code, and what it says of a touched ledger."""

import gzip
from pathlib import Path
from typing import Final

import psycopg
import pytest

from flows.replay import replay
from tests.golden.logs import WINDOW_MS
from tests.golden.recorded import path_of
from tests.support.servers import SHARDS
from tests.support.shell import Walras, shell

LOG: Final = "uniform"


@pytest.fixture
def walras(capsys: pytest.CaptureFixture[str]) -> Walras:
    return shell(capsys)


@pytest.fixture
def ledger(
    postgres_dsn: str, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A ledger on servers of its own, which the command finds by the settings."""
    file = tmp_path / "log.jsonl"
    file.write_bytes(gzip.decompress(path_of(LOG).read_bytes()))
    replay(file, postgres_dsn=postgres_dsn, window_ms=WINDOW_MS, batch_size=100)
    monkeypatch.setenv("WALRAS_NATS_URL", nats_url)
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", postgres_dsn)
    monkeypatch.setenv("WALRAS_NATS_AUTH", "none")
    monkeypatch.setenv("WALRAS_SHARDS", str(SHARDS))
    return postgres_dsn


def test_an_audit_says_what_holds_and_what_does_not(walras: Walras, ledger: str) -> None:
    """A script has to see the difference, and a person the row."""
    held = walras("audit")
    assert ("", 0, False) == (held.err, held.code, "broken" in held.out)
    assert "it cannot find a history that was rewritten as a whole" in held.out

    with psycopg.connect(ledger, autocommit=True) as conn:
        row = conn.execute(
            "UPDATE ledger.account SET balance_micros = balance_micros + 1 WHERE account = ("
            "  SELECT max(account) FROM ledger.account WHERE balance_micros > 0"
            ") RETURNING market, agent_id"
        ).fetchone()
    assert row is not None
    broken = walras("audit", row[0])
    assert (9, True) == (broken.code, broken.err.startswith("error: the books do not hold\n"))
    assert f"market {row[0]}: agent {row[1]} has" in broken.out
    health = walras("doctor", "--audit", "--format", "csv")
    assert (9, True) == (
        health.code,
        "times not: a balance is the sum of its movements" in health.out,
    )
    as_csv = walras("audit", "--format", "csv").out.splitlines()
    assert "promise,violations,market,shard,window_id,seq,ord,detail" == as_csv[0]

    assert (2, True) == ((absent := walras("audit", "nosuch")).code, "no market" in absent.err)
