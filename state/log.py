"""The log on its way through the flow: raw batches, the slices of a window, typed events.

Promise: a batch is contiguous (its i-th message has sequence `first_seq + i`), and everything here
is a value: no step changes what another step may still read. Sequences are the stream's; where one
is stored, "next to read" or "last read" stands beside it. Times are nanoseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, Protocol

import msgspec

from state.bids import Bids
from state.market import Listing, Terms
from state.names import Senders
from walras_schemas import (
    AMOUNT_MAX,
    BUNDLE_MAX,
    QUANTITY_MAX,
    BidWithdrawn,
    CreditsGranted,
    CreditsTransferred,
    MarketClosed,
    MarketOpened,
    MeterOpened,
    PriceQuoted,
    RejectionReason,
    SupplyChanged,
    UnitsHeld,
    UnitsSettled,
)


class Message(Protocol):
    """One message of a shard's log, whoever wrote it; the subject is the public one."""

    @property
    def seq(self) -> int: ...
    @property
    def timestamp_ns(self) -> int: ...
    @property
    def subject(self) -> str: ...
    @property
    def payload(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Messages of one shard as they lie in its stream; the columns have one entry per message."""

    shard: int
    first_seq: int
    timestamps_ns: list[int]
    subjects: list[str]
    payloads: list[bytes]


@dataclass(frozen=True, slots=True)
class WindowSlice:
    """The part of a batch that belongs to one window, with the stream's own (clamped) times."""

    shard: int
    window_id: int
    first_seq: int
    times_ns: list[int]
    subjects: list[str]
    payloads: list[bytes]
    stream_time_ns: int
    """t(m) of the last message read so far."""
    closes: bool
    """True when the window is complete after this slice."""

    @property
    def next_seq(self) -> int:
        """Sequence of the message after this slice: the next to read."""
        return self.first_seq + len(self.times_ns)


Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]
Version = Annotated[int, msgspec.Meta(ge=1, le=1)]
Bundle = Annotated[dict[str, Quantity], msgspec.Meta(min_length=1, max_length=BUNDLE_MAX)]


class BidPlaced(
    msgspec.Struct, gc=False, tag_field="type", tag="bid_placed", forbid_unknown_fields=True
):
    """A bid as the wire gives it; zero or an empty text where the sender gave no such field.

    The registry's `walras_schemas.BidPlaced` is the authority on what is valid; this is the same
    message in the shape that decodes fastest. `operators/columns.py` keeps the two in step.
    """

    event_id: str
    resource: str = ""
    quantity: Quantity = 0
    unit_price_micros: Amount = 0
    min_quantity: Quantity = 0
    bundle: Bundle | None = None
    limit_micros: Amount = 0
    version: Version = 0
    timestamp: str = ""
    scenario_id: str = ""


@dataclass(frozen=True, slots=True)
class Malformed:
    """What could not be decoded: it becomes a dead letter, in its place in the order."""

    subject: str
    error: str
    payload: bytes
    """The first bytes of the message, or of an element's own text; see `payload_bytes`."""
    payload_bytes: int
    """How long the whole of it is."""


def escape_for_storage(text: str) -> str:
    """The text itself but for NUL and halves of pairs, which no ledger can hold: their escapes."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


class ReviewedCommand(msgspec.Struct, frozen=True):
    """An operator's command with its outcome; `reason` is None when it was applied."""

    command: "OperatorCommand"
    reason: RejectionReason | None


OperatorCommand = CreditsGranted | MarketOpened | MarketClosed | SupplyChanged | PriceQuoted
AgentCommand = BidWithdrawn | CreditsTransferred


class Event(NamedTuple):
    """One command in its place: `(seq, ord)` orders everything in a shard.

    A bid, the bulk of the traffic, travels as a row of `Bids` instead.
    """

    seq: int
    ord: int
    time_ns: int
    market: str
    sender: str
    """The agent, or `treasury` for an operator's command."""
    resource: str | None
    """The resource that the subject names (price quotes only)."""
    command: AgentCommand | OperatorCommand | ReviewedCommand | Malformed


class MeterMessage(NamedTuple):
    """One event of a meter in its place: it neither names nor touches what a bid may."""

    seq: int
    ord: int
    time_ns: int
    market: str
    meter: int
    event: MeterOpened | UnitsHeld | UnitsSettled


@dataclass(frozen=True, slots=True)
class EventSlice:
    """A window's slice, decoded; `first_seq` and `next_seq` (next to read) span its messages."""

    shard: int
    window_id: int
    first_seq: int
    next_seq: int
    stream_time_ns: int
    closes: bool
    bids: Bids
    """All bids of the slice, with the decoder's numbers of accounts and resources."""
    senders: Senders
    """Whose numbers stand in `bids.account`."""
    resources: Sequence[str]
    """By the number that stands in `bids.resource`: names."""
    events: list[Event]
    """All but bids and what meters say, in (seq, ord) order."""
    meter_messages: list[MeterMessage] = field(default_factory=list)
    """In (seq, ord) order."""


@dataclass(frozen=True, slots=True)
class PricedSlice:
    """A window's slice with the market terms in force and the operators' commands reviewed."""

    slice: EventSlice
    terms: Mapping[str, Terms]
    """Market to the terms in force for this window."""
    listings: tuple[Listing, ...] = field(default=())
    """On the closing slice: the latest listing of each market that changed in this window."""

    @property
    def shard(self) -> int:
        """The shard of the slice."""
        return self.slice.shard
