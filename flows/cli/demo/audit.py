"""The demo's audit: each command in the log has one outcome, and the accounts add up.

Promise: each check is a query over the committed ledger, recomputed from its single rows; a check
that fails says what it expects and how often that does not hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from flows.analytics.answers import answer, answer_demo
from flows.analytics.questions import DemoQuestion, Question
from flows.simulation.sender import Acknowledged


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold in the ledger, and how often it does not."""

    promise: str
    violations: int

    @property
    def holds(self) -> bool:
        """True when nothing breaks the promise."""
        return self.violations == 0


def audit(
    ledger: duckdb.DuckDBPyConnection, *, market: str, acknowledged: Sequence[Acknowledged]
) -> list[Check]:
    """That each acknowledged command has one outcome, and what must hold of any ledger."""
    return [
        Check(
            f"each of the {len(acknowledged):,} acknowledged commands has one outcome",
            _without_one_outcome(ledger, market, acknowledged),
        ),
        Check(
            "the two postings of each transaction sum to zero",
            _violations(ledger, DemoQuestion.POSTINGS),
        ),
        *(Check(promise, count) for promise, count in answer(ledger, Question.AUDIT).rows),
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


def _violations(
    ledger: duckdb.DuckDBPyConnection, question: DemoQuestion, **parameters: object
) -> int:
    ((violations,),) = answer_demo(ledger, question, **parameters).rows
    return int(violations)
