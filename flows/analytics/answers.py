"""Answers to questions about the ledger, from the live one and by DuckDB.

Promise: an answer reads committed windows only, and amounts in it are exact integers.
"""

import duckdb

from connectors.duckdb.query import Answer, ask
from flows.analytics.questions import DemoQuestion, Question, text_of


def answer(
    ledger: duckdb.DuckDBPyConnection,
    question: Question,
    *,
    market: str | None = None,
    agent: str | None = None,
    since: int = 0,
) -> Answer:
    """Answer a question about one market and agent or all, from window `since` on."""
    return ask(ledger, text_of(question), market=market, agent=agent, since=since)


def answer_demo(
    ledger: duckdb.DuckDBPyConnection, question: DemoQuestion, **parameters: object
) -> Answer:
    """Answer a question of the demo, which gets those of the parameters that it names."""
    return ask(ledger, text_of(question), **parameters)


def first_of_last(
    ledger: duckdb.DuckDBPyConnection,
    last: int,
    *,
    of: Question = Question.SINCE,
    market: str | None = None,
    agent: str | None = None,
) -> int:
    """The first of the last windows that have anything to show: what to give as `since`."""
    (row,) = ask(ledger, text_of(of), last=last, market=market, agent=agent).rows
    return int(row[0])


def outcome_at(
    ledger: duckdb.DuckDBPyConnection, *, market: str, agent: str | None, seq: int
) -> Answer:
    """The outcome of the one command at `seq` in the log; empty while its window is open.

    `agent` is the one that sent it, None for an operator.
    """
    return ask(ledger, text_of(Question.OUTCOME), market=market, agent=agent, seq=seq)
