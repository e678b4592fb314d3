"""The types that agents see in the registry, as mypy and pyright infer them; never run."""

from typing import Literal, assert_type

from walras_schemas import (
    AgentResult,
    BidOutcome,
    BidPlaced,
    BidStatus,
    CommandOutcome,
    CommandStatus,
    Credit,
    MarketOpened,
    MarketWindow,
    RejectionReason,
    ResourcePrice,
    ResourceRules,
    subjects,
)


def commands(bid: BidPlaced, opened: MarketOpened) -> None:
    """A field that decays to Any lets an agent send what the market calls malformed."""
    assert_type(bid.type, Literal["bid_placed"])
    assert_type(bid.event_id, str)
    assert_type(bid.unit_price_micros, int | None)
    assert_type(bid.bundle, dict[str, int] | None)
    assert_type(opened.resources, dict[str, ResourceRules])
    assert_type(subjects.bid("m1", "a1"), str)


def results(result: AgentResult, window: MarketWindow) -> None:
    """An outcome of unknown type hides the difference between a bid and another command."""
    assert_type(result.balance_micros, int)
    assert_type(result.complete, bool)
    assert_type(result.outcomes, list[BidOutcome | CommandOutcome] | None)
    assert_type(result.credits, list[Credit] | None)
    assert_type(result.counts, dict[BidStatus | CommandStatus, int] | None)
    assert_type(window.prices, list[ResourcePrice])
    assert_type(window.prices[0].clearing_micros, int | None)
    for outcome in result.outcomes or ():
        if isinstance(outcome, BidOutcome):
            assert_type(outcome.status, BidStatus)
            assert_type(outcome.won, dict[str, int])
        assert_type(outcome.reason, RejectionReason | None)
