"""What a market publishes after a commit, as its readers get it."""

import json
from typing import Any, Final

import pytest
from pydantic import ValidationError

from tests.schemas.examples import BID_EVENT_ID, EVENT_ID
from walras_schemas import AgentResult, BidOutcome, CommandOutcome, MarketWindow

BID: Final[dict[str, Any]] = {
    "event_id": EVENT_ID,
    "seq": 41,
    "ord": 0,
    "status": "partially_won",
    "reason": None,
    "won": {"gpu": 2},
    "paid_micros": 16,
}
TRANSFER: Final[dict[str, Any]] = {
    "event_id": BID_EVENT_ID,
    "seq": 42,
    "ord": 999,
    "type": "credits_transferred",
    "status": "rejected",
    "reason": "self_transfer",
}
RESULT: Final[dict[str, Any]] = {
    "version": 1,
    "type": "agent_result",
    "market": "m1",
    "agent_id": "a1",
    "part": 1,
    "parts": 2,
    "shard": 0,
    "window_id": 7,
    "balance_micros": 84,
    "outcomes": [BID, TRANSFER],
}
PRICE: Final[dict[str, Any]] = {
    "resource": "gpu",
    "reference_micros": 10,
    "clearing_micros": None,
    "supply": 3,
    "demanded": 4,
    "sold": 0,
    "stale": False,
}
WINDOW: Final[dict[str, Any]] = {
    "version": 1,
    "type": "market_window",
    "market": "m1",
    "part": 1,
    "parts": 1,
    "shard": 0,
    "window_id": 7,
    "window_ms": 1000,
    "digest": "0123456789abcdef" * 4,
    "prices": [PRICE, PRICE | {"resource": "cpu", "clearing_micros": 12}],
}


@pytest.mark.parametrize(("model", "message"), [(AgentResult, RESULT), (MarketWindow, WINDOW)])
def test_a_result_reads_as_it_is_written(
    model: type[AgentResult | MarketWindow], message: dict[str, Any]
) -> None:
    """An agent that cannot read its outcome bids on as if it had lost."""
    assert message == json.loads(model.model_validate_json(json.dumps(message)).model_dump_json())


def test_an_outcome_is_a_bids_or_a_commands() -> None:
    """An agent distinguishes them by class: what was won must never read as a mere command."""
    result = AgentResult.model_validate_json(json.dumps(RESULT))
    assert [BidOutcome, CommandOutcome] == [type(outcome) for outcome in result.outcomes]


@pytest.mark.parametrize(
    ("model", "message", "path"),
    [
        (AgentResult, RESULT | {"agent_id": "treasury"}, "agent_id"),
        (AgentResult, RESULT | {"balance_micros": -1}, "balance_micros"),
        (AgentResult, RESULT | {"balance_micros": 1.0}, "balance_micros"),
        (AgentResult, RESULT | {"extra": 1}, "extra"),
        (AgentResult, RESULT | {"type": "market_window"}, "type"),
        (BidOutcome, BID | {"status": "applied"}, "status"),
        (BidOutcome, BID | {"reason": "bad luck"}, "reason"),
        (BidOutcome, BID | {"seq": 0}, "seq"),
        (BidOutcome, BID | {"ord": 1000}, "ord"),
        (BidOutcome, BID | {"won": {"gpu": 0}}, "won.gpu"),
        (BidOutcome, BID | {"paid_micros": -1}, "paid_micros"),
        (CommandOutcome, TRANSFER | {"type": "bid_placed"}, "type"),
        (CommandOutcome, TRANSFER | {"status": "won"}, "status"),
        (MarketWindow, WINDOW | {"digest": "0123"}, "digest"),
        (MarketWindow, WINDOW | {"digest": "0123456789ABCDEF" * 4}, "digest"),
        (MarketWindow, WINDOW | {"window_ms": 0}, "window_ms"),
        (MarketWindow, WINDOW | {"prices": [PRICE | {"stale": 0}]}, "prices.0.stale"),
        (MarketWindow, WINDOW | {"prices": [PRICE | {"sold": -1}]}, "prices.0.sold"),
    ],
)
def test_a_result_no_market_can_mean_is_refused(
    model: type[AgentResult], message: dict[str, Any], path: str
) -> None:
    """A result that passes here is taken for the ledger's word."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(json.dumps(message))
    assert [path] == [".".join(map(str, error["loc"])) for error in refused.value.errors()]
