"""The examples of docs/auction.md, run word for word: a wrong page teaches the wrong rule."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Final

import pytest

from operators.clear import allocate_supply, price_levels, rank
from tests.operators.books import bundle, density, resource, terms, unit
from tests.stories.reader import check
from tests.stories.writer import WINDOW_MS, read_story
from tests.support.flow import run_flow
from tests.twin.twin import run

PAGE: Final = (Path(__file__).parents[2] / "docs" / "auction.md").read_text(encoding="utf-8")
STORIES: Final = re.findall(r"^```story\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TABLE_OF_RULES: Final = re.findall(r"^\| `(\w+)` \|((?: \d+ \|)+)$", PAGE, re.MULTILINE)
DENSITIES: Final = re.findall(
    r"^\| (a\d) \|(?:[^|\n]+\|){3} (\d+(?:/\d+)?) \|$", PAGE, re.MULTILINE
)


def test_the_page_has_its_examples() -> None:
    """An example that the search does not find is an example that nobody checks."""
    assert (6, 3, 6) == (len(STORIES), len(TABLE_OF_RULES), len(DENSITIES))


@pytest.mark.parametrize("story", STORIES)
def test_the_page_tells_what_the_flow_does(story: str) -> None:
    """A reader who settles the example by hand must come to what the market would say."""
    check(story, run_flow)


@pytest.mark.parametrize("story", STORIES)
def test_the_page_tells_what_the_twin_does(story: str) -> None:
    """The page explains the specification, not an accident of the code."""
    check(story, lambda log, window_ms: run(log, window_ms=window_ms))


@pytest.mark.parametrize(("rule", "cells"), TABLE_OF_RULES)
def test_the_table_of_rules_holds(rule: str, cells: str) -> None:
    """What the same bids pay under each rule is what a reader chooses a rule by."""
    bids_alone = re.sub(r"->.*|^(close|balance).*$", "", STORIES[0], flags=re.MULTILINE)
    story = re.sub(r"^(bid .*?)\s*$", r"\1 -> lost", bids_alone, flags=re.MULTILINE)
    log = read_story(story.replace("open uniform", f"open {rule}")).log
    paid = {row["agent_id"]: row["paid_micros"] for row in run_flow(log, WINDOW_MS).bids}
    printed = [int(cell) for cell in re.findall(r"\d+", cells)]
    assert printed == [paid["a1"], paid["a2"], paid["a3"], paid["a5"], sum(paid.values())]


def test_the_densities_hold() -> None:
    """The first step of the example is where a reader learns what the order is."""
    market = terms(gpu=resource(6, reference=10, reserve=6), cpu=resource(20, reference=3))
    bids = [
        unit(1, "a1", "gpu", 3, price=15),
        bundle(2, "a2", limit=75, gpu=2, cpu=10),
        unit(3, "a3", "gpu", 4, price=12),
        bundle(4, "a4", limit=28, gpu=1, cpu=5),
        unit(5, "a5", "cpu", 10, price=3),
        unit(6, "a6", "cpu", 5, price=1),
    ]
    ranked = rank(market, bids)
    assert [(agent, Fraction(printed)) for agent, printed in DENSITIES] == [
        (entry.bid.agent, density(market, entry.bid)) for entry in ranked
    ]
    allocate_supply(market, ranked)
    assert {"gpu": Fraction(3, 5), "cpu": Fraction(22, 25)} == price_levels(market, ranked)


def test_the_paradoxical_rejection_holds() -> None:
    """The page's own example of a rejection must be one, by as much as the page says."""
    rejected = run_flow(read_story(STORIES[0]).log, WINDOW_MS).paradoxical_rejections
    assert [("a4", 28 - 26)] == [(row["agent_id"], row["lost_value_micros"]) for row in rejected]
