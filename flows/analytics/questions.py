"""What can be asked of the ledger: each question is a query in a file of its own.

A question is named after its file below `flows/analytics/sql`, whose first line says what it
answers. The queries are run by `flows/analytics/answers.py`.
"""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

SQL: Final = Path(__file__).parent / "sql"


class Question(StrEnum):
    """What people ask: windows, prices, allocations, rejections, throughput, latency."""

    ALLOCATIONS = "allocations"
    ALLOWANCES = "allowances"
    AUDIT = "audit"
    BALANCES = "balances"
    BIDS = "bids"
    DIGESTS = "digests"
    LATENCY = "latency"
    OUTCOME = "outcome"
    PRICES = "prices"
    REJECTIONS = "rejections"
    SINCE = "since"
    SINCE_BIDS = "since_bids"
    SINCE_PRICES = "since_prices"
    THROUGHPUT = "throughput"
    WINDOWS = "windows"


class DemoQuestion(StrEnum):
    """What the demo asks beside them, for its report and its audit."""

    FIGURES = "demo/figures"
    OPENING = "demo/opening"
    OUTCOMES = "demo/outcomes"
    POSTINGS = "demo/postings"
    PRICES = "demo/prices"
    STRATEGIES = "demo/strategies"


@cache
def text_of(question: Question | DemoQuestion) -> str:
    """The query behind a question."""
    return (SQL / f"{question}.sql").read_text(encoding="utf-8")
