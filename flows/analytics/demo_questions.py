"""What the demo asks of the ledger, beside the questions of `flows.analytics.questions`.

Promise: each question is a query of its own in `flows/analytics/demo_sql`, answered by DuckDB.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

import duckdb

from connectors.duckdb.query import Answer, ask

SQL: Final = Path(__file__).parent / "demo_sql"


class DemoQuestion(StrEnum):
    """One for each file of `flows/analytics/demo_sql`, which says what it answers."""

    COMMITTED = "committed"
    FIGURES = "figures"
    OPENING = "opening"
    OUTCOMES = "outcomes"
    POSTINGS = "postings"
    PRICES = "prices"
    STRATEGIES = "strategies"


def ask_demo(ledger: duckdb.DuckDBPyConnection, question: DemoQuestion, **known: object) -> Answer:
    """Answer a question about what is known; it gets those of the parameters that it names."""
    return ask(ledger, (SQL / f"{question}.sql").read_text(encoding="utf-8"), **known)
