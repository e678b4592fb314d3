"""What closing a window yields: every row that the ledger will hold of it, as one value.

Promise: a settlement is complete (each message of the window has its outcome here) and
deterministic; `digest` covers all of it but the position, so equal digests mean equal ledgers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from state.accounts import Bid
from state.market import Listing
from walras_schemas import HOUSE, RejectionReason


class CommandRow(msgspec.Struct, frozen=True, gc=False):
    """A grant, transfer, withdrawal or market event with its outcome; applied when no reason."""

    seq: int
    ord: int
    time_ns: int
    market: str
    sender: str
    event_id: str
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


class BalanceRow(msgspec.Struct, frozen=True, gc=False):
    """The balance of an account that moved credits or whose agent sent a command in the window."""

    market: str
    agent: str
    balance_micros: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """One closed window of one shard: the content of one ledger transaction."""

    shard: int
    window_id: int
    first_seq: int
    next_seq: int
    """Sequence of the first message after the window: the next to read."""
    stream_time_ns: int
    prev_digest: bytes
    digest: bytes
    bids: Sequence[Bid]
    commands: Sequence[CommandRow]
    dead_letters: Sequence[DeadLetter]
    prices: Sequence[PriceRow]
    markets: Sequence[MarketRow]
    balances: Sequence[BalanceRow]
    listings: Sequence[Listing]

    @property
    def moved(self) -> set[tuple[str, str]]:
        """Accounts, by market and owner, between which grants, transfers and payments went."""
        payers = {(bid.market, bid.agent) for bid in self.bids if bid.paid_micros}
        applied = [row for row in self.commands if row.recipient and row.reason is None]
        senders = {(row.market, row.sender) for row in applied}
        recipients = {(row.market, row.recipient) for row in applied if row.recipient}
        return payers | {(market, HOUSE) for market, _ in payers} | senders | recipients


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
