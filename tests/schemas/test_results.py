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
    "purpose": "service",
}
CREDIT: Final[dict[str, Any]] = {
    "seq": 40,
    "ord": 0,
    "kind": "grant",
    "from_agent_id": "treasury",
    "amount_micros": 100,
    "purpose": "reward",
}
RESULT: Final[dict[str, Any]] = {
    "version": 2,
    "type": "agent_result",
    "market": "m1",
    "agent_id": "a1",
    "shard": 0,
    "window_id": 7,
    "balance_micros": 84,
    "complete": True,
    "outcomes": [BID, TRANSFER],
    "credits": [CREDIT],
}
COUNTED: Final[dict[str, Any]] = {
    **{name: value for name, value in RESULT.items() if name not in {"outcomes", "credits"}},
    "complete": False,
    "counts": {"won": 4000, "applied": 1},
}
PRICE: Final[dict[str, Any]] = {
    "resource": "gpu",
    "reference_micros": 10,
    "reserve_micros": 2,
    "clearing_micros": None,
    "supply": 3,
    "demanded": 4,
    "wanted": 3,
    "sold": 0,
    "stale": False,
}
WINDOW: Final[dict[str, Any]] = {
    "version": 2,
    "type": "market_window",
    "market": "m1",
    "shard": 0,
    "window_id": 7,
    "window_ms": 1000,
    "next_seq": 43,
    "digest": "0123456789abcdef" * 4,
    "closed_at": "2026-11-22T16:51:37.25Z",
    "rule": "uniform",
    **dict.fromkeys(("agents", "bids", "won", "partially_won", "lost"), 1),
    **dict.fromkeys(("withdrawn", "rejected", "commands"), 2),
    **dict.fromkeys(("paid_micros", "offered_micros", "served_micros"), 10**20),
    "prices": [PRICE, PRICE | {"resource": "cpu", "clearing_micros": 12}],
}


@pytest.mark.parametrize(
    ("model", "message"), [(AgentResult, RESULT), (AgentResult, COUNTED), (MarketWindow, WINDOW)]
)
def test_a_result_reads_as_it_is_written(
    model: type[AgentResult | MarketWindow], message: dict[str, Any]
) -> None:
    """An agent that cannot read its outcome bids on as if it had lost."""
    read = model.model_validate_json(json.dumps(message))
    assert message == json.loads(read.model_dump_json(exclude_unset=True))


def test_an_outcome_is_a_bids_or_a_commands() -> None:
    """An agent distinguishes them by class: what was won must never read as a mere command."""
    result = AgentResult.model_validate_json(json.dumps(RESULT))
    assert result.outcomes is not None
    assert [BidOutcome, CommandOutcome] == [type(outcome) for outcome in result.outcomes]


@pytest.mark.parametrize(
    ("model", "message", "path"),
    [
        (AgentResult, RESULT | {"agent_id": "treasury"}, "agent_id"),
        (AgentResult, RESULT | {"balance_micros": -1}, "balance_micros"),
        (AgentResult, RESULT | {"balance_micros": 1.0}, "balance_micros"),
        (AgentResult, RESULT | {"extra": 1}, "extra"),
        (AgentResult, RESULT | {"version": 1}, "version"),
        (AgentResult, RESULT | {"complete": 1}, "complete"),
        (AgentResult, RESULT | {"outcomes": None}, "outcomes"),
        (AgentResult, RESULT | {"credits": [CREDIT | {"kind": "payment"}]}, "credits.0.kind"),
        (AgentResult, COUNTED | {"counts": {"won": 0}}, "counts.won"),
        (MarketWindow, WINDOW | {"next_seq": 0}, "next_seq"),
        (MarketWindow, WINDOW | {"closed_at": "today"}, "closed_at"),
        (MarketWindow, WINDOW | {"prices": [PRICE | {"wanted": -1}]}, "prices.0.wanted"),
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
