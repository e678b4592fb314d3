"""A result read back from the ledger is cut where it was cut when it was published."""

from typing import Final

import pytest

from flows.queries import paging as past_results
from flows.queries.paging import in_parts
from operators import results as announcing
from operators.results import result_messages
from state.accounts import Bid
from state.window import CommandRow, Settlement
from walras_client import new_event_id
from walras_schemas import AgentResult, BidStatus, RejectionReason

BUNDLE: Final = {"cpu_ms": 7, "tokens": 12}


def bid(seq: int) -> Bid:
    """One of several lengths: lost, rejected, a bundle that was won."""
    won = seq % 3 == 0
    return Bid(
        seq=seq,
        ord=0,
        time_ns=seq,
        market="m1",
        agent="a1",
        event_id=new_event_id(),
        resource=None if won else "tokens",
        quantity=1,
        unit_price_micros=10**6,
        min_quantity=1,
        bundle=BUNDLE if won else None,
        status=(BidStatus.WON, BidStatus.LOST, BidStatus.REJECTED)[seq % 3],
        reason=RejectionReason.BELOW_RESERVE if seq % 3 == 2 else None,
        won=int(won),
        paid_micros=seq**3 if won else 0,
    )


def withdrawal(seq: int, reason: RejectionReason | None) -> CommandRow:
    return CommandRow(seq, 0, seq, "m1", "a1", new_event_id(), "bid_withdrawn", reason)


def published(settlement: Settlement) -> list[AgentResult]:
    """The results of the only agent, as it would hear them."""
    told = result_messages(settlement, window_ms=1000)
    return [AgentResult.model_validate_json(each.payload) for each in told]


@pytest.fixture
def settlement() -> Settlement:
    return Settlement(
        shard=0,
        window_id=9,
        first_seq=1,
        next_seq=100,
        stream_time_ns=0,
        prev_digest=b"",
        digest=b"",
        bids=[bid(seq) for seq in range(1, 40)],
        commands=[withdrawal(40, None), withdrawal(41, RejectionReason.NOT_OPEN)],
        dead_letters=[],
        prices=[],
        balances=[],
        listings=[],
    )


def test_a_result_is_cut_as_it_was_published(
    settlement: Settlement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that has some of the parts would miss or repeat what lies at another boundary."""
    (whole,) = published(settlement)
    counts = set()
    for most in range(100, 3000, 3):
        monkeypatch.setattr(announcing, "PART_MAX_BYTES", most)
        monkeypatch.setattr(past_results, "PART_MAX_BYTES", most)
        parts = published(settlement)
        assert parts == in_parts(whole)
        counts.add(len(parts))
    assert {2, 3, 41} <= counts
