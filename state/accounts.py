"""The agents' side of a shard: accounts, what their open bids hold, the bids of the open window.

Promise: `0 <= held_micros <= balance_micros` for every agent at every moment, so no credit is ever
promised twice. The operator's side is in `state/market.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from state.dedupe import DedupeIndex
from walras_schemas import TREASURY, BidStatus, RejectionReason


class Account(msgspec.Struct, gc=False):
    """Credits of one agent in one market, in micros; `held_micros` is promised to open bids."""

    balance_micros: int = 0
    held_micros: int = 0

    @property
    def free_micros(self) -> int:
        """What a new bid or transfer may still spend."""
        return self.balance_micros - self.held_micros


class Bid(msgspec.Struct, gc=False, array_like=True, tag="bid"):
    """One bid from its message to its outcome; a unit bid names a resource, a bundle does not.

    The order of the fields is that of its line in the digest (`operators/settle.py`).
    """

    seq: int
    ord: int
    time_ns: int
    market: str
    agent: str
    event_id: str
    resource: str | None
    quantity: int
    """Units asked for; 1 for a bundle, which is won whole or not at all."""
    unit_price_micros: int
    """Price of a unit; for a bundle its limit."""
    min_quantity: int
    bundle: Mapping[str, int] | None
    status: BidStatus
    reason: RejectionReason | None = None
    won: int = 0
    """Units won (of a bundle: 0 or 1)."""
    paid_micros: int = 0
    lost_value_micros: int | None = None
    """Of a paradoxically rejected bid: its limit less the cost of what it asked for."""

    @property
    def limit_micros(self) -> int:
        """The most this bid can cost, which is what it holds while its window is open."""
        return self.quantity * self.unit_price_micros

    @property
    def demand(self) -> Mapping[str, int]:
        """Resource to the units asked for."""
        if self.bundle is not None:
            return self.bundle
        assert self.resource is not None
        return {self.resource: self.quantity}

    @property
    def allocation(self) -> Mapping[str, int]:
        """Resource to the units won; empty for a bid that won nothing."""
        if not self.won:
            return {}
        if self.bundle is not None:
            return self.bundle
        assert self.resource is not None
        return {self.resource: self.won}


@dataclass(slots=True)
class MarketAccounts:
    """The accounts of one market and the bids that its open window admitted."""

    by_agent: dict[str, Account] = field(default_factory=dict)
    """Agents that have ever received credits, and `treasury` and `house` once they moved any."""
    open_bids: dict[str, Bid] = field(default_factory=dict)
    """Admitted bids that were not withdrawn, in (seq, ord) order, by `bid_key`."""
    active: set[str] = field(default_factory=set)
    """Accounts that moved credits, or whose agent sent a command, in the open window."""
    sent: dict[str, int] = field(default_factory=dict)
    """Agent to the commands that it has sent in the open window, refused ones too."""

    def move(self, *, debit: str, credit: str, amount_micros: int) -> None:
        """Move credits between two accounts: the only way a balance changes."""
        assert amount_micros > 0, "a movement of nothing or less would mint credits"
        payer = self._account(debit)
        payee = self._account(credit)
        payer.balance_micros -= amount_micros
        payee.balance_micros += amount_micros
        assert debit == TREASURY or payer.balance_micros >= payer.held_micros
        self.active.update((debit, credit))

    def _account(self, owner: str) -> Account:
        account = self.by_agent.get(owner)
        if account is None:
            account = self.by_agent[owner] = Account()
        return account


@dataclass(slots=True)
class ShardAccounts:
    """All that `allocate` remembers of one shard between two windows."""

    markets: dict[str, MarketAccounts] = field(default_factory=dict)
    dedupe: DedupeIndex = field(default_factory=DedupeIndex)
    digest: bytes = bytes(32)
    """Digest of the last window that left a row; zeros before the first."""


def bid_key(market: str, agent: str, event_id: str) -> str:
    """What tells two commands of a shard apart: an id is unique to its sender and market."""
    return f"{market}/{agent}/{event_id}"
