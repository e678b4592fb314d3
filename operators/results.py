"""The messages of a committed window: one for each agent concerned, one for each active market.

Promise: the same settlement always gives the same messages. An agent's message is small enough for
NATS whatever was sent: above `RESULT_MAX_BYTES` it counts outcomes and leaves them to
`query.history` (SEMANTICS §7).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from state.accounts import Bid
from state.window import CommandRow, MarketRow, OutboundMessage, PriceRow, Settlement
from walras_schemas import (
    RESULT_MAX_BYTES,
    TREASURY,
    BidStatus,
    CommandStatus,
    RejectionReason,
    subjects,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_json = msgspec.json.Encoder()
_result_subject = lru_cache(maxsize=1 << 17)(subjects.result)


class _Outcome(msgspec.Struct, gc=False, omit_defaults=True):
    """How a command ended, as it is written; `walras_schemas` has the models that read it."""

    event_id: str
    seq: int
    ord: int
    status: BidStatus | CommandStatus
    type: str | UnsetType = UNSET
    won: Mapping[str, int] | UnsetType = UNSET
    paid_micros: int | UnsetType = UNSET
    reason: RejectionReason | UnsetType = UNSET


class _Credit(msgspec.Struct, gc=False, omit_defaults=True):
    seq: int
    ord: int
    kind: str
    from_agent_id: str
    amount_micros: int
    purpose: str | UnsetType = UNSET


class _AgentResult(
    msgspec.Struct,
    gc=False,
    kw_only=True,
    tag_field="type",
    tag="agent_result",
    omit_defaults=False,
):
    version: int = 2
    market: str
    agent_id: str
    shard: int
    window_id: int
    balance_micros: int
    complete: bool = True
    outcomes: Sequence[_Outcome] | UnsetType = UNSET
    credits: Sequence[_Credit] | UnsetType = UNSET
    counts: Mapping[str, int] | UnsetType = UNSET


@dataclass(slots=True)
class _OfAgent:
    """What one agent sent and received in the window."""

    outcomes: list[_Outcome] = field(default_factory=list)
    credits: list[_Credit] = field(default_factory=list)


def agent_results(settlement: Settlement) -> Iterator[OutboundMessage]:
    """The result of each agent that sent a command or received credits, in order of first mention.

    They are published live, without an id.
    """
    balances = {(row.market, row.agent): row.balance_micros for row in settlement.balances}
    for (market, agent), of_agent in _of_agents(settlement).items():
        result = _AgentResult(
            market=market,
            agent_id=agent,
            shard=settlement.shard,
            window_id=settlement.window_id,
            balance_micros=balances.get((market, agent), 0),
            outcomes=of_agent.outcomes,
            credits=of_agent.credits,
        )
        yield OutboundMessage(_result_subject(market, agent), "", _encoded(result))


def market_windows(settlement: Settlement, *, window_ms: int) -> Iterator[OutboundMessage]:
    """The window of each active market, under an id that names the shard, window and market."""
    prices: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for price in settlement.prices:
        prices[price.market].append(_price(price))
    for row in settlement.markets:
        content = _json.encode(_market_window(settlement, row, prices[row.market], window_ms))
        msg_id = f"{settlement.shard}:{settlement.window_id}:{row.market}"
        yield OutboundMessage(subjects.window(row.market), msg_id, content)


def _encoded(result: _AgentResult) -> bytes:
    whole = _json.encode(result)
    if len(whole) <= RESULT_MAX_BYTES:
        return whole
    assert result.outcomes is not UNSET
    result.counts = Counter(outcome.status for outcome in result.outcomes)
    result.complete, result.outcomes, result.credits = False, UNSET, UNSET
    return _json.encode(result)


def _of_agents(settlement: Settlement) -> Mapping[tuple[str, str], _OfAgent]:
    """Market and agent to what it sent and received, each in the order of the log."""
    agents: defaultdict[tuple[str, str], _OfAgent] = defaultdict(_OfAgent)
    for bid in settlement.bids:
        agents[bid.market, bid.agent].outcomes.append(_bid_outcome(bid))
    for row in settlement.commands:
        if row.sender != TREASURY:
            agents[row.market, row.sender].outcomes.append(_command_outcome(row))
        if row.recipient is not None and row.reason is None:
            agents[row.market, row.recipient].credits.append(_credit(row))
    for of_both in {(row.market, row.sender) for row in settlement.commands} & agents.keys():
        agents[of_both].outcomes.sort(key=attrgetter("seq", "ord"))
    return agents


def _bid_outcome(bid: Bid) -> _Outcome:
    won = bid.allocation
    return _Outcome(
        event_id=bid.event_id,
        seq=bid.seq,
        ord=bid.ord,
        status=bid.status,
        won=won if bid.bundle is None else dict(sorted(won.items())),  # the ledger keeps no order
        paid_micros=bid.paid_micros,
        reason=bid.reason or UNSET,
    )


def _command_outcome(row: CommandRow) -> _Outcome:
    return _Outcome(
        event_id=row.event_id,
        seq=row.seq,
        ord=row.ord,
        type=row.type,
        status=CommandStatus.APPLIED if row.reason is None else CommandStatus.REJECTED,
        reason=row.reason or UNSET,
    )


def _credit(row: CommandRow) -> _Credit:
    assert row.amount_micros is not None, "what has a recipient has an amount"
    return _Credit(
        seq=row.seq,
        ord=row.ord,
        kind="grant" if row.sender == TREASURY else "transfer",
        from_agent_id=row.sender,
        amount_micros=row.amount_micros,
        purpose=UNSET if row.purpose is None else row.purpose,
    )


def _market_window(
    settlement: Settlement, row: MarketRow, prices: Sequence[object], window_ms: int
) -> dict[str, object]:
    return {
        "type": "market_window",
        "version": 2,
        "market": row.market,
        "shard": settlement.shard,
        "window_id": settlement.window_id,
        "window_ms": window_ms,
        "next_seq": settlement.next_seq,
        "digest": settlement.digest.hex(),
        "closed_at": time_text((settlement.window_id + 1) * window_ms),
        "rule": row.rule,
        "agents": row.agents,
        "bids": row.bids,
        "won": row.won,
        "partially_won": row.partially_won,
        "lost": row.lost,
        "withdrawn": row.withdrawn,
        "rejected": row.rejected,
        "commands": row.commands,
        "paid_micros": row.paid_micros,
        "offered_micros": row.offered_micros,
        "served_micros": row.served_micros,
        "prices": prices,
    }


def _price(row: PriceRow) -> dict[str, object]:
    return {
        "resource": row.resource,
        "reference_micros": row.reference_micros,
        "reserve_micros": row.reserve_micros,
        "clearing_micros": row.clearing_micros,
        "supply": row.supply,
        "demanded": row.demanded,
        "wanted": row.wanted,
        "sold": row.sold,
        "stale": row.stale,
    }


def time_text(at_ms: int) -> str:
    """Milliseconds since the epoch in RFC 3339, with as many fractional digits as it needs."""
    whole, fraction = (_EPOCH + timedelta(milliseconds=at_ms)).isoformat()[:-6].partition(".")[::2]
    return f"{whole}.{fraction.rstrip('0')}Z" if fraction else f"{whole}Z"
