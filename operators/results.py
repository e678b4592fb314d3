"""The messages of a committed window: one for each agent concerned, one for each active market.

Promise: the same settlement always gives the same messages. An agent's message is small enough for
NATS whatever was sent: above `RESULT_MAX_BYTES` it counts outcomes and leaves them to SQL on the
ledger (SEMANTICS §7).

Bids are the bulk, so their outcomes are written as text. None of it needs an escape: names, ids,
statuses and reasons have patterns. All else in a result is left to an encoder.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
    CommandStatus,
    RejectionReason,
    subjects,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

VERSION: Final = 2

_json = msgspec.json.Encoder()
_STATUS_TEXTS: Final = [f'"status":"{status}","won":' for status in STATUSES]
_REASON_TEXTS: Final = [f',"reason":"{reason}"}}' if reason else "}" for reason in REASONS]


class _Ended(msgspec.Struct, gc=False):
    status: str


class _CommandOutcome(msgspec.Struct, gc=False, omit_defaults=True):
    """How a command other than a bid ended, as it is written."""

    event_id: str
    seq: int
    ord: int
    status: CommandStatus
    type: str
    reason: RejectionReason | UnsetType = UNSET
    purpose: str | UnsetType = UNSET


class _Credit(msgspec.Struct, gc=False, omit_defaults=True):
    seq: int
    ord: int
    kind: str
    from_agent_id: str
    amount_micros: int
    purpose: str | UnsetType = UNSET


def agent_results(settlement: Settlement) -> Iterator[OutboundMessage]:
    """The result of each agent that sent a command or received credits, by number of the account.

    They are published live, without an id.
    """
    names, balances = settlement.bids.names, settlement.balances.of()
    outcomes, received = _outcomes(settlement), _credits(settlement)
    place = f'"shard":{settlement.shard},"window_id":{settlement.window_id}'
    for account in sorted({**outcomes, **received}):
        market, agent = names.accounts[account]
        listed, gained = outcomes.get(account, ""), received.get(account, "")
        head = (
            f'{{"type":"agent_result","version":{VERSION},"market":"{market}","agent_id":"{agent}",'
            f'{place},"balance_micros":{balances.get(account, 0)},'
        )
        payload = f'{head}"complete":true,"outcomes":[{listed}],"credits":[{gained}]}}'.encode()
        if len(payload) > RESULT_MAX_BYTES:
            payload = f'{head}"complete":false,"counts":{_counts(listed)}}}'.encode()
        yield OutboundMessage(f"result.{market}.{agent}", "", payload)


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


def _counts(outcomes: str) -> str:
    """How many of an agent's commands came to which status, as JSON."""
    found = msgspec.json.decode(f"[{outcomes}]", type=list[_Ended])
    return _text(Counter(outcome.status for outcome in found))


def _text(value: object) -> str:
    return _json.encode(value).decode()


def _outcomes(settlement: Settlement) -> Mapping[int, str]:
    """By account what became of all that it sent, in the order of the log."""
    bids = settlement.bids
    by_agent = bids.taken(np.argsort(bids.account, kind="stable"))
    texts = _bid_texts(by_agent)
    accounts, first = np.unique(by_agent.account, return_index=True)
    rows = [*map(slice, first.tolist(), [*first[1:].tolist(), len(texts)])]
    by_account = texts if len(rows) == len(texts) else [",".join(texts[of_one]) for of_one in rows]
    outcomes = dict(zip(accounts.tolist(), by_account, strict=True))
    others = _other_outcomes(settlement)
    bids_of = dict(zip(outcomes, rows, strict=True)) if others else {}
    for account, after in others.items():
        own = bids_of.get(account, slice(0))
        at = zip(by_agent.seq[own].tolist(), by_agent.ord[own].tolist(), strict=True)
        both = [*zip(at, texts[own], strict=True), *after]
        outcomes[account] = ",".join(text for _, text in sorted(both))
    return outcomes


def _bid_texts(bids: Bids) -> list[str]:
    rows = zip(
        bids.event_id_texts(),
        bids.seq.tolist(),
        bids.ord.tolist(),
        bids.status.tolist(),
        _won_texts(bids),
        bids.paid_micros.tolist(),
        bids.reason.tolist(),
        strict=True,
    )
    return [
        f'{{"event_id":"{event_id}","seq":{seq},"ord":{ord_},{_STATUS_TEXTS[status]}{won},'
        f'"paid_micros":{paid}{_REASON_TEXTS[reason]}'
        for event_id, seq, ord_, status, won, paid, reason in rows
    ]


def _won_texts(bids: Bids) -> list[str]:
    """What each bid won by resource; of a bundle by name, for the ledger keeps no other order."""
    names = bids.names.resources
    won = [
        f'{{"{names[number]}":{units}}}' if units and number != BUNDLE else "{}"
        for number, units in zip(bids.resource.tolist(), bids.won.tolist(), strict=True)
    ]
    for row, bundle in bids.bundles.items():
        if bids.won[row]:
            won[row] = _text(dict(sorted(bundle.items())))
    return won


def _other_outcomes(settlement: Settlement) -> Mapping[int, list[tuple[tuple[int, int], str]]]:
    """By account the place and the outcome of each command that is not a bid."""
    numbers = settlement.bids.names.account_numbers
    found: defaultdict[int, list[tuple[tuple[int, int], str]]] = defaultdict(list)
    for row in settlement.commands:
        if row.sender != TREASURY and row.event_id is not None:
            outcome = _text(_command_outcome(row))
            found[numbers[row.market, row.sender]].append(((row.seq, row.ord), outcome))
    return found


def _credits(settlement: Settlement) -> Mapping[int, str]:
    """By account the credits that it received, in the order of the log."""
    numbers = settlement.bids.names.account_numbers
    received: defaultdict[int, list[str]] = defaultdict(list)
    for row in settlement.commands:
        if row.recipient is not None and row.reason is None:
            received[numbers[row.market, row.recipient]].append(_text(_credit(row)))
    return {account: ",".join(texts) for account, texts in received.items()}


def _command_outcome(row: CommandRow) -> _CommandOutcome:
    assert row.event_id is not None, "what an agent sends has an id"
    return _CommandOutcome(
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
        "version": VERSION,
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
