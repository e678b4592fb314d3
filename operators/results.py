"""Tell the results of a committed window: one message to each agent, one to each market.

Promise: the same settlement always gives the same messages under the same ids, so that publishing
them again after a crash tells nobody anything twice. Whatever was sent in a window, each message is
small enough for NATS: what does not fit in one is told in parts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from state.accounts import Bid
from state.window import CommandRow, OutboundMessage, PriceRow, Settlement
from walras_schemas import TREASURY, BidStatus, CommandStatus, RejectionReason, subjects

PART_MAX_BYTES: Final = 1 << 19
"""Size of the list in one message; the rest of a message is far below what NATS takes besides."""

_json = msgspec.json.Encoder()
_result_subject = lru_cache(maxsize=1 << 17)(subjects.result)


def result_messages(settlement: Settlement, *, window_ms: int) -> list[OutboundMessage]:
    """All results of a window: the agents' first, then the markets' prices and the digest."""
    return [*_agents(settlement), *_markets(settlement, window_ms)]


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


class _AgentResult(msgspec.Struct, gc=False, kw_only=True, tag_field="type", tag="agent_result"):
    version: int = 1
    market: str
    agent_id: str
    shard: int
    window_id: int
    balance_micros: int
    part: int = 1
    parts: int = 1
    outcomes: Sequence[object]


class _MarketWindow(msgspec.Struct, gc=False, kw_only=True, tag_field="type", tag="market_window"):
    version: int = 1
    market: str
    shard: int
    window_id: int
    window_ms: int
    digest: str
    part: int = 1
    parts: int = 1
    prices: Sequence[object]


def _agents(settlement: Settlement) -> Iterator[OutboundMessage]:
    shard, window_id = settlement.shard, settlement.window_id
    balances = {(row.market, row.agent): row.balance_micros for row in settlement.balances}
    for (market, agent), listed in _outcomes(settlement).items():
        result = _AgentResult(
            market=market,
            agent_id=agent,
            shard=shard,
            window_id=window_id,
            balance_micros=balances.get((market, agent), 0),
            outcomes=listed,
        )
        msg_id = f"{shard}:{window_id}:{market}:{agent}"
        yield from _in_parts(_result_subject(market, agent), msg_id, result, "outcomes")


def _outcomes(settlement: Settlement) -> dict[tuple[str, str], list[_Outcome]]:
    """Market and agent to the outcomes of all that it sent, in the order of the log."""
    outcomes: defaultdict[tuple[str, str], list[_Outcome]] = defaultdict(list)
    for bid in settlement.bids:
        outcomes[bid.market, bid.agent].append(_bid_outcome(bid))
    commands = [row for row in settlement.commands if row.sender != TREASURY]
    for row in commands:
        outcomes[row.market, row.sender].append(_command_outcome(row))
    for of_both in {(row.market, row.sender) for row in commands}:
        outcomes[of_both].sort(key=attrgetter("seq", "ord"))
    return outcomes


def _markets(settlement: Settlement, window_ms: int) -> Iterator[OutboundMessage]:
    by_market: dict[str, list[dict[str, object]]] = {}
    for row in settlement.prices:
        by_market.setdefault(row.market, []).append(_price(row))
    for market, prices in by_market.items():
        window = _MarketWindow(
            market=market,
            shard=settlement.shard,
            window_id=settlement.window_id,
            window_ms=window_ms,
            digest=settlement.digest.hex(),
            prices=prices,
        )
        msg_id = f"{settlement.shard}:{settlement.window_id}:{market}"
        yield from _in_parts(subjects.window(market), msg_id, window, "prices")


def _in_parts(
    subject: str, msg_id: str, told: _AgentResult | _MarketWindow, field: str
) -> Iterator[OutboundMessage]:
    """The message, with the list in this field of it in as many parts as its size asks for."""
    whole = _json.encode(told)
    if len(whole) <= PART_MAX_BYTES:
        yield OutboundMessage(subject, f"{msg_id}:1", whole)
        return
    parts = list(_parts(map(_json.encode, getattr(told, field))))
    for number, part in enumerate(parts, 1):
        of_many = replace(told, part=number, parts=len(parts), **{field: part})
        yield OutboundMessage(subject, f"{msg_id}:{number}", _json.encode(of_many))


def _parts(encoded: Iterable[bytes]) -> Iterator[list[msgspec.Raw]]:
    part: list[msgspec.Raw] = []
    size = 0
    for each in encoded:
        if part and size + len(each) > PART_MAX_BYTES:
            yield part
            part, size = [], 0
        part.append(msgspec.Raw(each))
        size += len(each) + 1
    yield part


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


def _price(row: PriceRow) -> dict[str, object]:
    return {
        "resource": row.resource,
        "reference_micros": row.reference_micros,
        "clearing_micros": row.clearing_micros,
        "supply": row.supply,
        "demanded": row.demanded,
        "sold": row.sold,
        "stale": row.stale,
    }
