"""What leaves a market once a window is committed: each agent's outcomes, and the prices for all.

A result is published again after a crash with the same content, so a reader may meet it twice.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from walras_schemas.names import (
    BATCH_MAX,
    AgentName,
    Count,
    Digest,
    EventId,
    Name,
    PositiveCount,
    Quantity,
    Supply,
)
from walras_schemas.reasons import BidStatus, CommandStatus, RejectionReason
from walras_schemas.wire import ByName, Message, WireObject

Ord = Annotated[int, Field(strict=True, ge=0, lt=BATCH_MAX)]
# Many large grants may sum to more than 64 bits hold; the ledger keeps such a balance too.
Balance = Annotated[int, Field(strict=True, ge=0)]
OtherCommandType = Literal[
    "bid_withdrawn",
    "credits_transferred",
    "credits_granted",
    "market_opened",
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


class Part(Message):
    """What tells of a window in more than one message, where one would be too large for NATS."""

    part: PositiveCount = 1
    parts: PositiveCount = 1


class AgentResult(Part):
    """All outcomes of one agent in one window, with the balance it was left with."""

    type: Literal["agent_result"] = "agent_result"
    market: Name
    agent_id: AgentName
    shard: Count
    window_id: Count
    balance_micros: Balance
    outcomes: list[BidOutcome | CommandOutcome]


class ResourcePrice(WireObject):
    """One resource in a cleared window; nothing sold means no clearing price."""

    resource: Name
    reference_micros: PositiveCount
    clearing_micros: Count | None
    supply: Supply
    demanded: Count
    sold: Supply
    stale: bool


class MarketWindow(Part):
    """The prices and volumes of one market in one window, and the digest of the shard after it."""

    type: Literal["market_window"] = "market_window"
    market: Name
    shard: Count
    window_id: Count
    window_ms: PositiveCount
    digest: Digest
    prices: list[ResourcePrice]


RESULTS: Final[dict[str, type[Message]]] = {
    "agent_result": AgentResult,
    "market_window": MarketWindow,
}
