"""The reader of stories fails when it should, and says where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from tests.stories.reader import check
from tests.support.flow import run_twin
from tests.twin.rows import LogRecord, Row, Rows

STORY: Final = """
market open uniform gpu=3@1
grant a1 100
grant a2 100
bid   a1 gpu 3 @ 10    -> won 3 pay 24
bid   a2 gpu 1 @ 8     -> lost
close                  -> gpu price 8 sold 3
balance a1 = 76
windows = 0
"""


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("won 3 pay 24", "won 3 pay 23"),
        ("won 3 pay 24", "won 2 pay 24"),
        ("-> lost", "-> withdrawn"),
        ("-> lost", "-> dead"),
        ("price 8", "price 9"),
        ("price 8 sold 3", "unsold"),
        ("sold 3", "sold 3, cpu sold 0"),
        ("= 76", "= 100"),
        ("windows = 0", "windows = 0 1"),
        ("grant a1 100", "grant a1 100 -> duplicate"),
    ],
)
def test_a_false_story_fails(true: str, false: str) -> None:
    """A reader that believes everything guards against nothing."""
    check(STORY, run_twin)
    with pytest.raises(AssertionError, match="another story"):
        check(STORY.replace(true, false), run_twin)


def test_a_difference_names_the_line_and_both_outcomes() -> None:
    """A trader who cannot see what differs cannot say who is right."""
    with pytest.raises(AssertionError) as failure:
        check(STORY.replace("pay 24", "pay 30"), run_twin)
    expected = """the market gave another story:
line 5: bid a1 gpu 3 @ 10 -> won 3 pay 30
    expected: won 3 pay 30
    actual:   won 3 pay 24"""
    assert expected == str(failure.value)


def _winner(rows: Rows) -> Row:
    return next(row for row in rows.bids if row["status"] == "won")


SPOILERS: Final[dict[str, Callable[[Rows], object]]] = {
    "an allocation is missing": lambda rows: rows.allocations.clear(),
    "an allocation is short": lambda rows: rows.allocations[0].update(quantity=2),
    "the status is another": lambda rows: _winner(rows).update(status="partially_won"),
    "the bid says it paid more": lambda rows: _winner(rows).update(paid_micros=25),
    "a posting is missing": lambda rows: rows.transactions.pop(),
    "a balance is wrong": lambda rows: rows.accounts[0].update(balance_micros=0),
    "a bid has two rows": lambda rows: rows.bids.append(dict(rows.bids[0])),
    "a bid has no row": lambda rows: rows.bids.pop(),
    "a row comes from nowhere": lambda rows: rows.dead_letters.append({"seq": 99, "ord": 0}),
    "a tick is a dead letter": lambda rows: rows.dead_letters.append({"seq": 6, "ord": 0}),
    "a command has no row": lambda rows: rows.commands.pop(0),
    "an event is read twice": lambda rows: rows.dead_letters.append({"seq": 4, "ord": 1}),
    "a price has two rows": lambda rows: rows.prices.append(dict(rows.prices[0])),
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS.keys())
def test_spoilt_rows_fail(spoil: Callable[[Rows], object]) -> None:
    """A ledger that contradicts itself must not pass because one of its views looks right."""

    def spoilt(log: list[LogRecord], window_ms: int) -> Rows:
        rows = run_twin(log, window_ms)
        spoil(rows)
        return rows

    with pytest.raises(AssertionError, match="another story"):
        check(STORY, spoilt)


@pytest.mark.parametrize(
    "line",
    [
        "bid a1 gpu 3 @ 10",
        "bid a1 gpu 3 for 10 -> lost",
        "sell a1 gpu 3",
        "grant a1",
        "grant a1 much",
        "withdraw a1 unnamed",
        "market open uniform gpu=3",
        "raw market.m1.grant {}",
        "+ grant a1 5",
    ],
)
def test_a_line_that_makes_no_sense_is_refused(line: str) -> None:
    """A misspelt line that is passed over is a story that tests nothing."""
    with pytest.raises(ValueError, match="line 2 is none of a story"):
        check("# a remark\n" + line, run_twin)
