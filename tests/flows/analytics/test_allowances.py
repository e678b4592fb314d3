"""What agents won of metered resources and what became of it, asked of a real ledger."""

from collections.abc import Iterator
from typing import Final

import duckdb
import psycopg
import pytest

from connectors.duckdb.ledger import open_ledger
from flows.analytics.answers import answer
from flows.analytics.questions import Question
from tests.flows.story_ledger import write_ledger

STORY: Final = """
market open uniform gpu=9@1 cpu=9@1 allowance gpu=3,cpu=1
grant a1 100
grant a2 100
meter open 1
bid   a1 gpu 5 @ 1        -> won 5 pay 0
bid   a1 cpu 5 @ 1        -> won 5 pay 0
bid   a2 gpu 4 @ 1        -> won 4 pay 0
close
bid   a1 gpu 2 @ 1        -> won 2 pay 0
hold  1 a1 gpu 3
hold  2 a2 gpu 4
settle 2 6
close
hold  3 a1 cpu 1          -> insufficient_allowance
"""
COLUMNS: Final = ["won", "free", "held", "used", "overdrawn", "expired", "expires_next"]


@pytest.fixture
def ledger(postgres_dsn: str) -> Iterator[duckdb.DuckDBPyConnection]:
    write_ledger(postgres_dsn, STORY)
    with open_ledger(postgres_dsn) as connection:
        yield connection


def test_allowances(ledger: duckdb.DuckDBPyConnection) -> None:
    """An agent that is told of units which it cannot spend is refused where it counted on them."""
    found = answer(ledger, Question.ALLOWANCES, market="m1").records()
    assert [
        ("a1", "cpu", 5, 0, 0, 0, 0, 5, None),
        ("a1", "gpu", 7, 4, 3, 0, 0, 0, 2),
        ("a2", "gpu", 4, 0, 0, 6, 2, 0, None),
    ] == [(row["agent_id"], row["resource"], *(row[name] for name in COLUMNS)) for row in found]
    assert [None, "2025-10-09 08:53:24+00", None] == [row["expires_at"] for row in found]


def test_allowances_of_one_agent(ledger: duckdb.DuckDBPyConnection) -> None:
    """What others can spend is nobody's business."""
    found = answer(ledger, Question.ALLOWANCES, market="m1", agent="a2").records()
    assert ["a2"] == [row["agent_id"] for row in found]
    assert [] == answer(ledger, Question.ALLOWANCES, market="m2").records()


def test_metered_books_are_correct(ledger: duckdb.DuckDBPyConnection) -> None:
    """An audit that fails a correct ledger would be switched off."""
    assert 0 == sum(violations for _, violations in answer(ledger, Question.AUDIT).rows)


@pytest.mark.parametrize(
    ("tampering", "promise"),
    [
        ("UPDATE ledger.lot SET units = units + 9", "no more units are metered than were won"),
        ("UPDATE ledger.lot SET used = 1, held = 2 WHERE held = 3", "units held and used"),
        ("UPDATE ledger.usage SET used = 5", "units held and used"),
        ("DELETE FROM ledger.open_hold", "units held and used"),
    ],
)
def test_tampered_units_are_found(
    postgres_dsn: str, ledger: duckdb.DuckDBPyConnection, tampering: str, promise: str
) -> None:
    """An audit that passes whatever is in the ledger proves nothing."""
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(tampering.encode())
    found = [said for said, violations in answer(ledger, Question.AUDIT).rows if violations]
    assert [promise] == [said[: len(promise)] for said in found]
