"""The demo's audit finds what is wrong: each check fails on a ledger that violates it."""

from collections.abc import Iterator

import duckdb
import pytest

from flows.cli.demo.audit import audit
from flows.simulation.sender import Acknowledged

# A grant of 100 to a1, its bid that wins 2 tokens for 16, and a dead letter.
LEDGER = """
CREATE TABLE bids AS
    SELECT 'm1' AS market, 'a1' AS agent_id, 'id-2' AS event_id, 2 AS seq, 0 AS ord, 0 AS shard,
        7 AS window_id, 20 AS limit_micros, 'won' AS status, 16 AS paid_micros;
CREATE TABLE commands AS
    SELECT 'm1' AS market, 'treasury' AS agent_id, 'id-1' AS event_id, 1 AS seq, 0 AS ord,
        7 AS window_id;
CREATE TABLE dead_letters AS SELECT 0 AS shard, 3 AS seq, 0 AS ord;
CREATE TABLE allocations AS
    SELECT 'm1' AS market, 'a1' AS agent_id, 7 AS window_id, 'tokens' AS resource, 2 AS quantity;
CREATE TABLE prices AS
    SELECT 'm1' AS market, 7 AS window_id, 'tokens' AS resource, 3 AS supply, 2 AS sold;
CREATE TABLE accounts (market VARCHAR, agent_id VARCHAR, balance_micros BIGINT);
INSERT INTO accounts VALUES ('m1', 'treasury', -100), ('m1', 'a1', 84), ('m1', 'house', 16);
CREATE TABLE transactions
    (market VARCHAR, shard INT, txn_id VARCHAR, agent_id VARCHAR, amount_micros BIGINT);
INSERT INTO transactions VALUES
    ('m1', 0, '0-1-0', 'treasury', -100), ('m1', 0, '0-1-0', 'a1', 100),
    ('m1', 0, '0-2-0', 'a1', -16), ('m1', 0, '0-2-0', 'house', 16);
CREATE TABLE allowances AS
    SELECT 'm1' AS market, 'a1' AS agent_id, 'tokens' AS resource, 2 AS won, 1 AS free, 0 AS held,
        2 AS used, 1 AS overdrawn, 0 AS expired;
CREATE TABLE open_holds
    (market VARCHAR, agent_id VARCHAR, resource VARCHAR, held_seq INT, held INT);
CREATE TABLE usage AS
    SELECT 'm1' AS market, 'a1' AS agent_id, 'tokens' AS resource, 4 AS held_seq,
        5 AS settled_seq, 1 AS held, 2 AS used;
CREATE TABLE windows AS
    SELECT 0 AS shard, 6 AS window_id, 'd0' AS prev_digest, 'd1' AS digest
    UNION ALL SELECT 0, 7, 'd1', 'd2';
"""

ACKNOWLEDGED = [
    Acknowledged(event_id="id-1", sender="treasury", shard=0, seq=1),
    Acknowledged(event_id="id-2", sender="a1", shard=0, seq=2),
    Acknowledged(event_id="id-3", sender="a1", shard=0, seq=3),
]
ONE_OUTCOME = "each of the 3 acknowledged commands has one outcome"
TO_ZERO = "the two postings of each transaction sum to zero"


@pytest.fixture
def ledger() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(LEDGER)
        yield connection


def violated(ledger: duckdb.DuckDBPyConnection, acknowledged: list[Acknowledged]) -> set[str]:
    checks = audit(ledger, market="m1", acknowledged=acknowledged)
    return {check.promise for check in checks if not check.holds}


def test_a_correct_ledger_passes(ledger: duckdb.DuckDBPyConnection) -> None:
    """An audit that fails a correct ledger would be switched off."""
    assert set() == violated(ledger, ACKNOWLEDGED)


@pytest.mark.parametrize(
    ("tampering", "promise"),
    [
        ("DELETE FROM bids", ONE_OUTCOME),
        ("DELETE FROM commands", ONE_OUTCOME),
        ("DELETE FROM dead_letters", ONE_OUTCOME),
        ("INSERT INTO bids FROM bids", ONE_OUTCOME),
        ("INSERT INTO bids FROM (SELECT * REPLACE (9 AS seq) FROM bids)", ONE_OUTCOME),
        ("UPDATE bids SET seq = 9", ONE_OUTCOME),
        ("UPDATE bids SET agent_id = 'a2'", ONE_OUTCOME),
        ("UPDATE bids SET market = 'm2'", ONE_OUTCOME),
        ("UPDATE transactions SET amount_micros = 17 WHERE agent_id = 'house'", TO_ZERO),
        ("DELETE FROM transactions WHERE agent_id = 'house'", TO_ZERO),
        (
            "UPDATE accounts SET balance_micros = 17 WHERE agent_id = 'house'",
            "the balances of a market sum to zero",
        ),
        ("UPDATE prices SET supply = 1", "no more is sold than there is"),
        ("UPDATE allocations SET quantity = 4", "what is sold is what is allocated"),
        ("UPDATE allowances SET won = 3, free = 2", "no more units are metered than were won"),
        ("UPDATE allowances SET free = 2", "no more units are metered than were won"),
        ("UPDATE usage SET used = 3", "units held and used are those of the holds"),
        ("DELETE FROM usage", "units held and used are those of the holds"),
        (
            "INSERT INTO open_holds VALUES ('m1', 'a1', 'tokens', 6, 1)",
            "units held and used are those of the holds",
        ),
        ("DELETE FROM allowances", "units held and used are those of the holds"),
        ("UPDATE windows SET prev_digest = 'x'", "each digest follows from the one before"),
    ],
)
def test_a_tampered_ledger_fails(
    ledger: duckdb.DuckDBPyConnection, tampering: str, promise: str
) -> None:
    """Exit code 0 for a wrong ledger is worse than no audit."""
    ledger.execute(tampering)
    assert promise in violated(ledger, ACKNOWLEDGED)


def test_a_command_that_was_acknowledged_elsewhere_is_missed(
    ledger: duckdb.DuckDBPyConnection,
) -> None:
    """A receipt with another sequence than the ledger's comes from another log."""
    elsewhere = Acknowledged(event_id="id-2", sender="a1", shard=0, seq=5)
    assert {ONE_OUTCOME} == violated(ledger, [ACKNOWLEDGED[0], elsewhere, ACKNOWLEDGED[2]])
