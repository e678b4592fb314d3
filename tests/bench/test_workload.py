"""What all runs are given: valid commands, always the same, half of which lose."""

import json
import random
import re
import time
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from bench.hostile import MALFORMED, REFUSED, SENDER, VALID, Hand
from bench.metered import SPENDERS
from bench.workload import (
    RESOURCES,
    EventIds,
    Message,
    Workload,
    agent_name,
    bids,
    opening,
)
from flows.testing import LogRecord, settle_log
from state.window import Settlement
from walras_schemas import BidPlaced, BidStatus, uuid7_ms

SINGLES = Workload(name="singles", bids=400, agents=20, per_window=400)
WORKLOADS = [
    SINGLES,
    Workload(name="batches", bids=400, agents=20, per_window=400, per_message=100),
    Workload(name="bundles", bids=400, agents=20, per_window=400, bundles=True),
]
DISTURBED = Workload(
    name="disturbed", bids=400, agents=20, per_window=200, withdrawals=20, hostile=200
)
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
    at_ns = uuid7_ms(json.loads(messages[0].payload)["event_id"]) * NS_PER_MS
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


def without_ids(messages: list[Message]) -> list[tuple[str, bytes]]:
    return [
        (message.subject, re.sub(rb"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}", b"", message.payload))
        for message in messages
    ]


def test_the_same_seed_gives_the_same_disturbance() -> None:
    """A disturbance that is another one each time gives another ratio each time."""
    one, two = (without_ids(list(bids(DISTURBED))) for _ in range(2))
    assert one == two


def test_what_disturbs_comes_on_top_of_the_same_bids() -> None:
    """The rate of the others could not be compared with what it is without the disturbance."""
    own = [f".bid.{agent_name(number)}" for number in range(20)]
    kept = [
        message
        for message in bids(DISTURBED)
        if message.subject.endswith(tuple(own)) and b"bid_withdrawn" not in message.payload
    ]
    assert without_ids(list(bids(DISTURBED.undisturbed))) == without_ids(kept)
    assert DISTURBED.is_disturbed
    assert not DISTURBED.undisturbed.is_disturbed


def test_each_window_has_its_disturbance() -> None:
    """Messages that come all at once, or after the bids, meet none of them."""
    messages = list(bids(DISTURBED))
    assert 2 * DISTURBED.messages_per_window == len(messages)
    for window in (messages[:420], messages[420:]):
        odd = [message.subject.endswith(SENDER) for message in window]
        assert [50] * 4 == [sum(odd[at : at + 105]) for at in range(0, 420, 105)]


def test_withdrawn_bids_are_open_until_then() -> None:
    """Withdrawals that are refused cost less than those that release a hold."""
    settlement = settled(replace(DISTURBED, hostile=0, per_window=400))
    assert 20 == [bid.status for bid in settlement.bids].count(BidStatus.WITHDRAWN)
    assert [None] * 20 == [row.reason for row in settlement.commands if "withdrawn" in row.type]


def test_every_event_of_the_meter_is_applied() -> None:
    """A refused hold draws on no lot, and costs another row than one that is granted."""
    workload = Workload(name="metered", bids=4_000, agents=20, per_window=2_000, metered=1_000)
    messages = list(bids(workload))
    assert 2 * workload.messages_per_window == len(messages)
    opened = list(opening(workload))
    now_ns = time.time_ns()
    records = [
        LogRecord(seq, now_ns + (seq > len(opened)) * 2 * 10**9, each.subject, each.payload)
        for seq, each in enumerate([*opened, *messages], 1)
    ]
    first, second = settle_log(records, window_ms=1000).settlements
    assert SPENDERS == len(first.metering.lots)
    assert [] == [row for row in second.commands if row.sender.startswith("meter")]
    assert (1_100, 900) == (len(second.metering.holds), len(second.metering.usage))


def test_every_odd_form_is_what_it_says() -> None:
    """A form that is read the usual way forces nothing, and one that spoils all forces too much."""
    hand = Hand(random.Random(1), EventIds(1).next, RESOURCES)
    verdicts = {
        name: verdict_on(form(hand))
        for forms in (VALID, REFUSED, MALFORMED)
        for name, form in forms.items()
    }
    assert (
        dict.fromkeys(VALID, "stands")
        | dict.fromkeys(REFUSED, "refused")
        | dict.fromkeys(MALFORMED, "malformed")
    ) == verdicts


def verdict_on(payload: bytes) -> str:
    """What the market makes of one message of the hostile sender."""
    workload = replace(DISTURBED, bids=0)
    opened = list(opening(workload))
    at_ns = uuid7_ms(json.loads(opened[0].payload)["event_id"]) * NS_PER_MS
    sent = [(message.subject, message.payload) for message in opened]
    sent.append((f"market.{workload.market}.bid.{SENDER}", payload))
    records = [LogRecord(seq, at_ns, *message) for seq, message in enumerate(sent, 1)]
    (window,) = settle_log(records, window_ms=1000).settlements
    if window.dead_letters:
        return "malformed"
    reasons = [bid.reason for bid in window.bids]
    reasons += [row.reason for row in window.commands if row.sender == SENDER]
    return "refused" if any(reasons) else "stands"


@of_each
def test_half_of_the_bids_lose(workload: Workload) -> None:
    """An auction in which everyone wins has nothing to clear."""
    outcomes = [bid.status for bid in settled(workload).bids]
    assert 400 == len(outcomes)
    assert {BidStatus.LOST, BidStatus.WON, BidStatus.PARTIALLY_WON} >= set(outcomes)
    assert 0.4 < outcomes.count(BidStatus.LOST) / 400 < 0.6
