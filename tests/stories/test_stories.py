"""The stories of the market, run by the flow and by the naive twin."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.stories.reader import Chapter, check, read_chapters
from tests.stories.writer import read_story
from tests.support.flow import run_flow, run_twin

BOOKS: Final = sorted(Path(__file__).parent.glob("*.txt"))
CHAPTERS: Final = {f"{book.stem}: {c.title}": c for book in BOOKS for c in read_chapters(book)}
OUTCOMES: Final = {
    *("applied", "dead", "lost", "withdrawn"),
    *(
        "unknown_market",
        "market_closed",
        "over_quota",
        "stale_event_id",
        "future_event_id",
        "duplicate",
    ),
    *("unknown_agent", "unknown_resource", "unsupported_by_rule", "exceeds_supply"),
    *("held", "settled", "unknown_meter", "stale_epoch", "out_of_order", "future_window"),
    *("stale_window", "insufficient_allowance", "not_held"),
    *("below_reserve", "amount_overflow", "insufficient_balance", "not_open", "self_transfer"),
}


every_story = pytest.mark.parametrize("chapter", CHAPTERS.values(), ids=CHAPTERS.keys())


@every_story
def test_the_flow_agrees_with_the_story(chapter: Chapter) -> None:
    """Traders rely on what the stories say of the market; each story names its own danger."""
    check(chapter.text, run_flow)


@every_story
def test_the_twin_agrees_with_the_story(chapter: Chapter) -> None:
    """A twin that misreads the page would teach the flow its mistake."""
    check(chapter.text, run_twin)


@every_story
def test_a_story_names_its_danger(chapter: Chapter) -> None:
    """A story whose reason is forgotten is changed to fit the next mistake."""
    assert "# Danger: " in chapter.text


def test_every_outcome_is_in_some_story() -> None:
    """An outcome that is in no story can change without a trader noticing."""
    covered = {e.expected for c in CHAPTERS.values() for e in read_story(c.text).expectations}
    assert set() == OUTCOMES - covered
