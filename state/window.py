"""What closing a window yields: every row that the ledger will hold of it, as one value.

Promise: a settlement is complete (each message of the window has its outcome here) and
deterministic; `digest` covers all of it but the position, so equal digests mean equal ledgers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from state.bids import Bids, Int32s, Int64s
from state.lots import MeteredWindow
from state.market import Listing
from state.names import NewNames
from walras_schemas import RejectionReason


class CommandRow(msgspec.Struct, frozen=True, gc=False):
    """A command that is no bid, or a refused event of a meter; applied when no reason."""

    seq: int
    ord: int
    time_ns: int
    market: str
    sender: str
    event_id: str | None
    """None of an event of a meter."""
    type: str
    reason: RejectionReason | None
    amount_micros: int | None = None
    """What a grant or transfer moved, or would have."""
    recipient: str | None = None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or one element of a batch, that could not be decoded."""

    seq: int
    ord: int
    time_ns: int
    subject: str
    error: str
    payload: bytes
    payload_bytes: int
    """Length of the whole, of which `payload` is the beginning."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One resource of one market in one window: prices in micros a unit, quantities in units."""

    market: str
    resource: str
    reference_micros: int
    reserve_micros: int
    clearing_micros: int | None
    supply: int
    demanded: int
    """Units that admitted bids asked for which were not withdrawn."""
    wanted: int
    """Those of them whose limit is at least the cost of what they asked for."""
    sold: int
    stale: bool


@dataclass(frozen=True, slots=True)
class MarketRow:
    """One market in one window in which it was active: how its bids ended, and what they paid."""

    market: str
    rule: str
    agents: int
    """Distinct agents that bid, those whose bids were refused too."""
    bids: int
    won: int
    partially_won: int
    lost: int
    withdrawn: int
    rejected: int
    commands: int
    paid_micros: int
    offered_micros: int
    """Limits of admitted bids that were not withdrawn."""
    served_micros: int
    """Of these, limits of won bundles, and units won at their bids' own prices."""


@dataclass(frozen=True, slots=True, eq=False)
class Balances:
    """Balances after the window of the accounts that were active in it and ever moved credits."""

    accounts: Int32s
    """Their numbers, ascending."""
    micros: Int64s
    moved: NDArray[np.bool_]
    """Which of them moved credits in the window."""
    wide: Mapping[int, int]
    """Account to its balance where the column cannot hold it."""

    @override
    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Balances)
            and self.of() == other.of()
            and np.array_equal(self.moved, other.moved)
        )

    __hash__ = None  # type: ignore[assignment]

    def of(self) -> dict[int, int]:
        """Account to balance, exact."""
        exact = dict(zip(self.accounts.tolist(), self.micros.tolist(), strict=True))
        return exact | dict(self.wide)


class LotRow(NamedTuple):
    """A lot as the window leaves it; quantities in units."""

    account: int
    resource: str
    window_id: int
    last_window: int
    meter: int
    units: int
    held: int
    used: int
    overdrawn: int
    lapsed: bool


class HoldRow(NamedTuple):
    """A hold that was applied, in one chain of a market's meters."""

    market: str
    meter: int
    epoch: int
    n: int
    account: int
    resource: str
    quantity: int
    window_id: int
    """That the hold named."""
    seq: int
    time_ns: int
    draws: tuple[tuple[int, int], ...]
    """Windows of the lots that it draws on, with the units of each."""


class UsageRow(NamedTuple):
    """A hold that has ended, at the sequence and time of what ended it."""

    hold: HoldRow
    seq: int
    time_ns: int
    used: int
    outcome: str


class MeterRow(NamedTuple):
    """A meter as the window leaves it."""

    market: str
    meter: int
    epoch: int
    next_n: int
    window_id: int


@dataclass(frozen=True, slots=True)
class Metering:
    """What meters did in a window, and the lots that it made; each kind in the order of its key."""

    lots: Sequence[LotRow] = ()
    """New ones."""
    changed_lots: Sequence[LotRow] = ()
    """Earlier ones that were drawn on, returned to, or ended by `lag_windows`."""
    holds: Sequence[HoldRow] = ()
    """All that were applied in the window, those too that have ended in it."""
    usage: Sequence[UsageRow] = ()
    meters: Sequence[MeterRow] = ()
    """Opened ones that sent anything."""
    metered: Sequence[tuple[str, str]] = ()
    """Market and resource that were listed with an allowance for the first time."""


class ClosingWindow(Protocol):
    """What a window has gathered until it closes, each kind in (seq, ord) order."""

    first_seq: int
    accounts: int
    """How many accounts had numbers before it."""
    resources: int
    runs: list[Bids]
    commands: list[CommandRow]
    dead_letters: list[DeadLetter]
    active: set[str]
    """Markets in which there was any command but a quote, refused ones too."""
    metered: MeteredWindow


@dataclass(slots=True)
class Settlement:
    """One closed window of one shard: the content of one ledger transaction."""

    shard: int
    window_id: int
    first_seq: int
    next_seq: int
    """Sequence of the first message after the window: the next to read."""
    stream_time_ns: int
    prev_digest: bytes
    bids: Bids
    commands: Sequence[CommandRow]
    dead_letters: Sequence[DeadLetter]
    prices: Sequence[PriceRow]
    markets: Sequence[MarketRow]
    balances: Balances
    listings: Sequence[Listing]
    new_names: NewNames
    """What the window mentioned first."""
    metering: Metering = Metering()
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class WindowSummary:
    """What the messages of a committed window's markets are made of, as the ledger has it."""

    shard: int
    window_id: int
    next_seq: int
    """The next to read."""
    digest: bytes
    prices: Sequence[PriceRow]
    """In the order of markets and resources."""
    markets: Sequence[MarketRow]
    """In the order of their names."""


@dataclass(frozen=True, slots=True)
class EmptyWindow:
    """A window that saw nothing but ticks: no row, only the position moves past it."""

    shard: int
    window_id: int
    first_seq: int
    next_seq: int
    """The next to read."""
    stream_time_ns: int


ClosedWindow = Settlement | EmptyWindow


class OutboundMessage(msgspec.Struct, frozen=True, gc=False):
    """One result on its way out: the same window always gives the same messages and ids."""

    subject: str
    msg_id: str
    payload: bytes
