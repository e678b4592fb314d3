"""What all runs are given: valid commands, always the same, half of which lose."""

import json
from itertools import chain
from typing import Any

import pytest

from bench.workload import Workload, bids, opening
from flows.testing import LogRecord, settle_log
from state.window import Settlement
from walras_schemas import BidPlaced, BidStatus, uuid7_ms

SINGLES = Workload(name="singles", bids=400, agents=20, per_window=400)
WORKLOADS = [
    SINGLES,
    Workload(name="batches", bids=400, agents=20, per_window=400, per_message=100),
    Workload(name="bundles", bids=400, agents=20, per_window=400, bundles=True),
]
NS_PER_MS = 1_000_000

of_each = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)


def placed(workload: Workload) -> list[dict[str, Any]]:
    contents = [json.loads(message.payload) for message in bids(workload)]
    return [
        bid for content in contents for bid in (content if isinstance(content, list) else [content])
    ]


def settled(workload: Workload) -> Settlement:
    """The workload through the real flow, all at one moment."""
    messages = list(chain(opening(workload), bids(workload)))
    at_ns = uuid7_ms(messages[0].msg_id) * NS_PER_MS
    records = [
        LogRecord(seq, at_ns, message.subject, message.payload)
        for seq, message in enumerate(messages, 1)
    ]
    (window,) = settle_log(records, window_ms=1000).settlements
    return window


@of_each
def test_every_bid_is_valid_and_new(workload: Workload) -> None:
    """A workload that the market refuses would be measured as the fastest of all."""
    every = placed(workload)
    assert 400 == len({BidPlaced.model_validate(bid).event_id for bid in every})


def test_the_same_seed_gives_the_same_commands() -> None:
    """Figures of two runs could not be compared, nor could two designs."""
    one, two = (
        [{**bid, "event_id": ""} for bid in placed(workload)] for workload in (SINGLES, SINGLES)
    )
    assert one == two


@of_each
def test_half_of_the_bids_lose(workload: Workload) -> None:
    """An auction in which everyone wins has nothing to clear."""
    outcomes = [bid.status for bid in settled(workload).bids]
    assert {BidStatus.LOST, BidStatus.WON, BidStatus.PARTIALLY_WON} >= set(outcomes)
    assert 0.4 < outcomes.count(BidStatus.LOST) / 400 < 0.6
