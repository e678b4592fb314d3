"""The demo's audit: each command that the log took is in the books once, and the books add up.

Promise: each check is a query over the committed ledger, recomputed from its single rows; a check
that fails says what it expects and how often that does not hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from flows.analytics.demo_questions import DemoQuestion, ask_demo
from flows.analytics.questions import Question, answer
from flows.simulation.sender import Acknowledged


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold of the books, and how often it does not."""

    promise: str
    violations: int

    @property
    def holds(self) -> bool:
        """True when nothing breaks the promise."""
        return self.violations == 0


def check_books(
    ledger: duckdb.DuckDBPyConnection, *, market: str, acknowledged: Sequence[Acknowledged]
) -> list[Check]:
    """That each acknowledged command has one outcome, and what must hold of any ledger."""
    standing = [Check(promise, count) for promise, count in answer(ledger, Question.BOOKS).rows]
    return [
        Check(
            f"each of the {len(acknowledged):,} acknowledged commands has one outcome",
            _without_one_outcome(ledger, market, acknowledged),
        ),
        Check(
            "the two postings of each transaction sum to zero",
            _violations(ledger, DemoQuestion.POSTINGS),
        ),
        *standing,
    ]


def _without_one_outcome(
    ledger: duckdb.DuckDBPyConnection, market: str, acknowledged: Sequence[Acknowledged]
) -> int:
    return _violations(
        ledger,
        DemoQuestion.OUTCOMES,
        market=market,
        event_ids=[command.event_id for command in acknowledged],
        senders=[command.sender for command in acknowledged],
        shards=[command.shard for command in acknowledged],
        seqs=[command.seq for command in acknowledged],
    )


def _violations(ledger: duckdb.DuckDBPyConnection, question: DemoQuestion, **known: object) -> int:
    ((violations,),) = ask_demo(ledger, question, **known).rows
    return int(violations)
