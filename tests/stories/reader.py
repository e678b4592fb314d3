"""Reads a market's story, runs its log through a market, and compares line by line.

**Promise:** a story passes only if every line has its expected outcome, no message left a row that
no line names, and each account is the sum of its postings. What differs is shown as the line, the
outcome it expected and the actual one, so that a trader can settle by hand who is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.stories.writer import WINDOW_MS, Story, read_story
from tests.twin.rows import LogRecord, Rows

Run = Callable[[list[LogRecord], int], Rows]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One story of a file: its title and its lines, the danger it guards against among them."""

    title: str
    text: str


def check(story: str, run: Run) -> None:
    """Fail, with a readable difference, unless `run(log, window_ms)` agrees with the story."""
    read = read_story(story)
    rows = run(read.log, WINDOW_MS)
    differences = _unlike(read, rows) + _unexpected(read, rows) + _unbalanced(rows)
    assert not differences, "\n".join(["the market gave another story:", *differences])


def read_chapters(path: Path) -> list[Chapter]:
    """The stories of a file, each under a line `== its title`."""
    _, *chapters = path.read_text(encoding="utf-8").split("\n== ")
    return [Chapter(*chapter.split("\n", 1)) for chapter in chapters]


def _unlike(story: Story, rows: Rows) -> list[str]:
    differences = []
    for expectation in story.expectations:
        actual = expectation.describe(rows)
        if actual != expectation.expected:
            line = f"line {expectation.number}: {expectation.line}"
            differences += [
                line,
                f"    expected: {expectation.expected}",
                f"    actual:   {actual}",
            ]
    return differences


def _unexpected(story: Story, rows: Rows) -> list[str]:
    """Rows at places that the story does not name, or more than one row for one event."""
    places = Counter(
        (row["seq"], row["ord"]) for row in rows.bids + rows.commands + rows.dead_letters
    )
    odd = [place for place, count in places.items() if count > 1 or not story.names(*place)]
    return [f"rows that no line names, at (seq, ord) {place}" for place in odd]


def _unbalanced(rows: Rows) -> list[str]:
    postings: Counter[tuple[str, str]] = Counter()
    for row in rows.transactions:
        postings[row["market"], row["agent_id"]] += row["amount_micros"]
    accounts = {(row["market"], row["agent_id"]): row["balance_micros"] for row in rows.accounts}
    return [
        f"account {key}: balance {accounts.get(key, 0)}, postings add up to {postings[key]}"
        for key in sorted(accounts.keys() | postings.keys())
        if accounts.get(key, 0) != postings[key]
    ]
