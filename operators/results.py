"""The messages of a committed window: one for each agent concerned, one for each active market.

Promise: the same settlement always gives the same messages. An agent's message is small enough for
NATS whatever was sent: above `RESULT_MAX_BYTES` it counts outcomes and leaves them to SQL on the
ledger (SEMANTICS §7).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Final

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from state.bids import BUNDLE, REASONS, STATUSES, Bids
from state.window import (
    CommandRow,
    MarketRow,
    OutboundMessage,
    PriceRow,
    Settlement,
    WindowSummary,
)
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
    purpose: str | UnsetType = UNSET


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


def agent_results(settlement: Settlement) -> Iterator[OutboundMessage]:
    """The result of each agent that sent a command or received credits, by number of the account.

    They are published live, without an id.
    """
    names, balances = settlement.bids.names, settlement.balances.of()
    outcomes, received = _outcomes(settlement), _credits(settlement)
    for account in sorted(outcomes.keys() | received.keys()):
        market, agent = names.accounts[account]
        result = _AgentResult(
            market=market,
            agent_id=agent,
            shard=settlement.shard,
            window_id=settlement.window_id,
            balance_micros=balances.get(account, 0),
            outcomes=outcomes.get(account, ()),
            credits=received.get(account, ()),
        )
        yield OutboundMessage(_result_subject(market, agent), "", _encoded(result))


def market_windows(
    settlement: Settlement | WindowSummary, *, window_ms: int
) -> Iterator[OutboundMessage]:
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


def _outcomes(settlement: Settlement) -> dict[int, list[_Outcome]]:
    """Account to the outcomes of all that it sent, in the order of the log."""
    outcomes = _bid_outcomes(settlement.bids)
    numbers = settlement.bids.names.account_numbers
    senders = set()
    for row in settlement.commands:
        if row.sender != TREASURY and row.event_id is not None:
            account = numbers[row.market, row.sender]
            senders.add(account)
            outcomes.setdefault(account, []).append(_command_outcome(row))
    for account in senders:
        outcomes[account].sort(key=attrgetter("seq", "ord"))
    return outcomes


def _bid_outcomes(bids: Bids) -> dict[int, list[_Outcome]]:
    if not len(bids):
        return {}
    order = np.argsort(bids.account, kind="stable")
    by_agent = bids.taken(order)
    statuses = [STATUSES[code] for code in by_agent.status.tolist()]
    reasons = [REASONS[code] or UNSET for code in by_agent.reason.tolist()]
    made = map(
        _Outcome,
        by_agent.event_id_texts(),
        by_agent.seq.tolist(),
        by_agent.ord.tolist(),
        statuses,
        repeat(UNSET),
        _won(by_agent),
        by_agent.paid_micros.tolist(),
        reasons,
    )
    outcomes = list(made)
    accounts, first = np.unique(by_agent.account, return_index=True)
    ends = [*first[1:].tolist(), len(outcomes)]
    return {
        account: outcomes[start:end]
        for account, start, end in zip(accounts.tolist(), first.tolist(), ends, strict=True)
    }


def _won(bids: Bids) -> Iterator[Mapping[str, int]]:
    """What each bid won by resource; of a bundle by name, for the ledger keeps no other order."""
    names, nothing = bids.names.resources, dict[str, int]()
    numbers, units = bids.resource.tolist(), bids.won.tolist()
    for row, (number, count) in enumerate(zip(numbers, units, strict=True)):
        if not count:
            yield nothing
        elif number == BUNDLE:
            yield dict(sorted(bids.bundles[row].items()))
        else:
            yield {names[number]: count}


def _credits(settlement: Settlement) -> dict[int, list[_Credit]]:
    """Account to the credits that it received, in the order of the log."""
    numbers = settlement.bids.names.account_numbers
    received: dict[int, list[_Credit]] = {}
    for row in settlement.commands:
        if row.recipient is not None and row.reason is None:
            received.setdefault(numbers[row.market, row.recipient], []).append(_credit(row))
    return received


def _command_outcome(row: CommandRow) -> _Outcome:
    assert row.event_id is not None, "what an agent sends has an id"
    return _Outcome(
        event_id=row.event_id,
        seq=row.seq,
        ord=row.ord,
        type=row.type,
        status=CommandStatus.APPLIED if row.reason is None else CommandStatus.REJECTED,
        reason=row.reason or UNSET,
        purpose=UNSET if row.purpose is None else row.purpose,
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
    settlement: Settlement | WindowSummary, row: MarketRow, prices: Sequence[object], window_ms: int
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
