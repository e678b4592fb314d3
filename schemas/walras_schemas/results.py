"""What leaves a market once a window is committed: each agent's outcomes, and the prices for all.

An agent's result is published once, live, and kept in the ledger, where `query.history` finds it; a
market's window is kept in a stream, and a reader may meet it twice. Source: SEMANTICS §7.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from walras_schemas.commands import Rule
from walras_schemas.names import (
    BATCH_MAX,
    AgentName,
    Amount,
    Count,
    Digest,
    EventId,
    Name,
    PositiveCount,
    Purpose,
    Quantity,
    Supply,
    Timestamp,
)
from walras_schemas.reasons import BidStatus, CommandStatus, RejectionReason
from walras_schemas.wire import ByName, Message, OrAbsent, WireObject

Ord = Annotated[int, Field(strict=True, ge=0, lt=BATCH_MAX)]
# Many large grants may sum to more than 64 bits hold; the ledger keeps such a balance too.
Balance = Annotated[int, Field(strict=True, ge=0)]
Total = Annotated[int, Field(strict=True, ge=0)]
ResultVersion = Annotated[int, Field(strict=True, ge=2, le=2, json_schema_extra={"const": 2})]
RESULT_MAX_BYTES: Final = 1 << 19
"""The largest message of an agent's result; NATS takes twice as much."""
OtherCommandType = Literal[
    "bid_withdrawn",
    "credits_transferred",
    "credits_granted",
    "market_opened",
    "market_closed",
    "supply_changed",
    "price_quoted",
]


class BidOutcome(WireObject):
    """How one bid ended: what it won of each resource, and what it paid for all of it."""

    event_id: EventId
    seq: PositiveCount
    ord: Ord
    status: BidStatus
    reason: RejectionReason | None = None
    won: Annotated[dict[Name, Quantity], ByName()]
    paid_micros: Count


class CommandOutcome(WireObject):
    """How one command other than a bid ended."""

    event_id: EventId
    seq: PositiveCount
    ord: Ord
    type: OtherCommandType
    status: CommandStatus
    reason: RejectionReason | None = None
    purpose: OrAbsent[Purpose] = None


class Credit(WireObject):
    """Credits that the agent received: from the treasury, or from another agent."""

    seq: PositiveCount
    ord: Ord
    kind: Literal["grant", "transfer"]
    from_agent_id: Name
    amount_micros: Amount
    purpose: OrAbsent[Purpose] = None


class AgentResult(Message):
    """What one agent sent and received in one window, with the balance it was left with.

    It is one message. Where that would be larger than `RESULT_MAX_BYTES` it is not complete: it
    counts outcomes by status, here and in `query.history`; SQL gives each of them.
    """

    version: ResultVersion = 2
    type: Literal["agent_result"] = "agent_result"
    market: Name
    agent_id: AgentName
    shard: Count
    window_id: Count
    balance_micros: Balance
    complete: bool
    outcomes: OrAbsent[list[BidOutcome | CommandOutcome]] = None
    credits: OrAbsent[list[Credit]] = None
    counts: OrAbsent[dict[BidStatus | CommandStatus, PositiveCount]] = None


class ResourcePrice(WireObject):
    """One resource in a cleared window; nothing sold means no clearing price."""

    resource: Name
    reference_micros: PositiveCount
    reserve_micros: Count
    clearing_micros: Count | None
    supply: Supply
    demanded: Count
    """Units that admitted bids asked for which were not withdrawn."""
    wanted: Count
    """Those of them whose limit is at least the cost of what they asked for."""
    sold: Supply
    stale: bool


class MarketWindow(Message):
    """What one market did in one window: its bids and commands in numbers, and its prices."""

    version: ResultVersion = 2
    type: Literal["market_window"] = "market_window"
    market: Name
    shard: Count
    window_id: Count
    window_ms: PositiveCount
    next_seq: PositiveCount
    """The shard is settled up to this sequence, exclusive."""
    digest: Digest
    closed_at: Timestamp
    rule: Rule
    agents: Count
    """Distinct agents that bid, those whose bids were refused too."""
    bids: Count
    won: Count
    partially_won: Count
    lost: Count
    withdrawn: Count
    rejected: Count
    commands: Count
    paid_micros: Total
    offered_micros: Total
    """Limits of admitted bids that were not withdrawn."""
    served_micros: Total
    """Of these, limits of won bundles, and units won at their bids' own prices."""
    prices: list[ResourcePrice]


RESULTS: Final[dict[str, type[Message]]] = {
    "agent_result": AgentResult,
    "market_window": MarketWindow,
}
