"""The demo's audit: each command that the log took is in the books once, and the books add up.

Promise: each check is a query over the committed ledger, recomputed from its single rows; a check
that fails says what it expects and how often that does not hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb

from connectors.duckdb.query import ask
from flows.analytics import Question, answer
from flows.deliveries import Acknowledged

# The shard of a command is not in its view: a market lives in one shard, so its place is enough.
OUTCOMES_OF: Final = """
WITH acknowledged AS (
    SELECT
        unnest($event_ids::VARCHAR[]) AS event_id,
        unnest($senders::VARCHAR[]) AS sender,
        unnest($shards::BIGINT[]) AS shard,
        unnest($seqs::BIGINT[]) AS seq
),
outcomes AS (
    SELECT event_id, agent_id AS sender, seq FROM bids WHERE market = $market
    UNION ALL
    SELECT event_id, agent_id, seq FROM commands WHERE market = $market
    UNION ALL
    SELECT event_id, sender, seq
    FROM dead_letters JOIN acknowledged USING (shard, seq)
),
found AS (
    SELECT event_id, count(outcomes.seq) AS outcomes, any_value(outcomes.seq) AS seq
    FROM acknowledged LEFT JOIN outcomes USING (event_id, sender)
    GROUP BY ALL
)
SELECT count(*) AS violations
FROM found JOIN acknowledged USING (event_id)
WHERE outcomes <> 1 OR found.seq <> acknowledged.seq
"""

UNBALANCED_TRANSACTIONS: Final = """
SELECT count(*) AS violations
FROM (
    SELECT txn_id
    FROM transactions
    GROUP BY shard, txn_id
    HAVING sum(amount_micros) <> 0 OR count(*) <> 2
)
"""


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
            _violations(ledger, UNBALANCED_TRANSACTIONS),
        ),
        *standing,
    ]


def _without_one_outcome(
    ledger: duckdb.DuckDBPyConnection, market: str, acknowledged: Sequence[Acknowledged]
) -> int:
    return _violations(
        ledger,
        OUTCOMES_OF,
        market=market,
        event_ids=[command.event_id for command in acknowledged],
        senders=[command.sender for command in acknowledged],
        shards=[command.shard for command in acknowledged],
        seqs=[command.seq for command in acknowledged],
    )


def _violations(ledger: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> int:
    ((violations,),) = ask(ledger, sql, **parameters).rows
    return int(violations)
