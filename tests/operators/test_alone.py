"""A market stands alone: what others in its shard do is no more to it than ticks.

So its rows can be checked from its own messages, and nobody's market can disturb another's.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import pytest
from hypothesis import given, settings

from flows.testing import LogRecord
from state.log import Message
from tests.operators.runs import WINDOW_MS, Run, runs
from tests.operators.steps import settle
from tests.support.generated_logs import LOGS
from tests.support.rows import rows_of
from tests.twin.random_logs import random_log
from tests.twin.rows import Row, Rows, in_order

NOT_A_MARKET_S: Final = {"windows", "dead_letters"}
OF_THE_SHARD: Final = {"next_seq"}


def without_others(log: Sequence[Message], market: str) -> list[LogRecord]:
    """The log with the messages of all other markets, and those on no subject, as ticks."""
    return [
        LogRecord(one.seq, one.timestamp_ns, one.subject, one.payload)
        if one.subject.split(".")[1:2] == [market]
        else LogRecord(one.seq, one.timestamp_ns, "clock.0", b"")
        for one in log
    ]


def rows_of_market(rows: Rows, market: str) -> dict[str, list[Row]]:
    """What the views and messages show of a market, and of its own windows' shard nothing."""
    return {
        view.name: [
            {name: value for name, value in row.items() if name not in OF_THE_SHARD}
            for row in getattr(rows, view.name)
            if row["market"] == market
        ]
        for view in fields(Rows)
        if view.name not in NOT_A_MARKET_S
    }


def assert_alone(log: Sequence[Message], markets: Sequence[str]) -> None:
    """Each market has the rows that it would have among ticks."""
    rows = in_order(rows_of(settle(log), window_ms=WINDOW_MS))
    for market in markets:
        closed = settle(without_others(log, market))
        alone = in_order(rows_of(closed, window_ms=WINDOW_MS))
        assert rows_of_market(alone, market) == rows_of_market(rows, market)


@given(log=LOGS)
@settings(max_examples=120, deadline=None)
def test_a_market_in_a_small_log_stands_alone(log: list[LogRecord]) -> None:
    """A market whose rows depend on a neighbour's messages can be checked by nobody."""
    assert_alone(log, ["m1", "m2", "m3"])


@pytest.mark.parametrize("seed", range(20))
def test_a_market_in_a_long_log_stands_alone(seed: int) -> None:
    """Windows, activity, ids and stale prices are where a neighbour could be felt."""
    assert_alone(random_log(seed, commands=300), ["m1", "m2", "m3", "m4"])


@given(run=runs())
@settings(max_examples=80, deadline=None)
def test_a_market_of_the_fast_way_stands_alone(run: Run) -> None:
    """A guard that trips in one market must not be felt in the other's rows."""
    whole = in_order(rows_of(run.settled(), window_ms=WINDOW_MS))
    for market in ("m1", "m2"):
        among_ticks = Run(without_others(run.records, market), run.balances)
        alone = in_order(rows_of(among_ticks.settled(), window_ms=WINDOW_MS))
        assert rows_of_market(alone, market) == rows_of_market(whole, market)


def test_the_comparison_notices_a_neighbour() -> None:
    """A comparison that leaves out too much would call every market alone."""
    log = random_log(2, commands=2000)
    rows = rows_of(settle(log), window_ms=WINDOW_MS)
    assert all(rows_of_market(rows, "m1").values())
    assert rows_of_market(rows, "m1") != rows_of_market(rows, "m2")
