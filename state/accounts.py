"""The agents' side of a shard: balances, what open bids hold, who is active in the open window.

Promise: `0 <= held <= balance` for every agent at every moment, so no credit is ever promised
twice; credits only move between two accounts of a market, so its balances sum to zero. Amounts are
micro-credits, by number of the account (`state/names.py`). The operator's side is in
`state/market.py`.
"""

from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from state.dedupe import DedupeIndex
from state.lots import MarketMeters
from state.names import Names
from walras_schemas import TREASURY

NARROW_MAX: Final = 1 << 62
"""Balances up to this stand in the columns, where a sum of two of them cannot wrap. Thousands of
the largest grants go beyond it: such an account is wide, and is counted in Python's integers."""
CAPACITY_MIN: Final = 1024

Flags = NDArray[np.bool_]

T = TypeVar("T", bound=np.generic)


@dataclass(slots=True)
class WideAccount:
    """Balance and holds of an account that no column can hold."""

    balance_micros: int
    held_micros: int


@dataclass(slots=True)
class ShardAccounts:
    """All that `allocate` remembers of one shard between two windows, and of the open window."""

    names: Names = field(default_factory=Names)
    dedupe: DedupeIndex = field(default_factory=DedupeIndex)
    digest: bytes = bytes(32)
    """Digest of the last window that left a row; zeros before the first."""
    balance: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CAPACITY_MIN, np.int64))
    held: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CAPACITY_MIN, np.int64))
    market: NDArray[np.int32] = field(default_factory=lambda: np.zeros(CAPACITY_MIN, np.int32))
    """Number of the account's market."""
    sent: NDArray[np.int32] = field(default_factory=lambda: np.zeros(CAPACITY_MIN, np.int32))
    """Commands of the open window that count for the quota."""
    known: Flags = field(default_factory=lambda: np.zeros(CAPACITY_MIN, np.bool_))
    """Accounts that ever moved credits."""
    active: Flags = field(default_factory=lambda: np.zeros(CAPACITY_MIN, np.bool_))
    """Accounts that moved credits, or whose agent sent a command, in the open window."""
    moved: Flags = field(default_factory=lambda: np.zeros(CAPACITY_MIN, np.bool_))
    """Accounts that moved credits in the open window."""
    wide: dict[int, WideAccount] = field(default_factory=dict)
    meters: dict[str, MarketMeters] = field(default_factory=dict)
    """By market, from its first opening on."""

    ready: int = 0
    """Accounts that have their place in the columns."""

    def make_room(self) -> None:
        """Give every account that has a number its place in the columns."""
        if len(self.names.accounts) > len(self.balance):
            more = max(len(self.balance), len(self.names.accounts) - len(self.balance))
            self.balance = _longer(self.balance, more)
            self.held = _longer(self.held, more)
            self.market = _longer(self.market, more)
            self.sent = _longer(self.sent, more)
            self.known = _longer(self.known, more)
            self.active = _longer(self.active, more)
            self.moved = _longer(self.moved, more)
        if self.ready < len(self.names.accounts):
            self.market[self.ready : len(self.names.accounts)] = self.names.market_of[self.ready :]
            self.ready = len(self.names.accounts)

    def set_balance(self, account: int, micros: int) -> None:
        """Take back a balance that the ledger recorded before a restart."""
        self.known[account] = True
        if abs(micros) > NARROW_MAX:
            self.wide[account] = WideAccount(micros, 0)
        else:
            self.balance[account] = micros

    def balance_of(self, account: int) -> int:
        """What the account owns."""
        wide = self.wide.get(account)
        return wide.balance_micros if wide else int(self.balance[account])

    def free_of(self, account: int) -> int:
        """What a new bid or transfer may still spend."""
        wide = self.wide.get(account)
        if wide:
            return wide.balance_micros - wide.held_micros
        return int(self.balance[account]) - int(self.held[account])

    def hold(self, account: int, micros: int) -> None:
        """Promise so much of what is free to an open bid; a negative amount releases it."""
        wide = self.wide.get(account)
        if wide:
            wide.held_micros += micros
        else:
            self.held[account] += micros

    def move(self, *, debit: int, credit: int, amount_micros: int) -> None:
        """Move credits between two accounts: the only way a balance changes."""
        assert amount_micros > 0, "a movement of nothing or less would mint credits"
        assert self.names.accounts[debit][1] == TREASURY or self.free_of(debit) >= amount_micros
        self._add(debit, -amount_micros)
        self._add(credit, amount_micros)

    def _add(self, account: int, micros: int) -> None:
        self.known[account] = self.active[account] = self.moved[account] = True
        wide = self.wide.get(account)
        if wide:
            wide.balance_micros += micros
            return
        balance = int(self.balance[account]) + micros
        if abs(balance) > NARROW_MAX:
            self.wide[account] = WideAccount(balance, int(self.held[account]))
            self.balance[account] = self.held[account] = 0
        else:
            self.balance[account] = balance

    def pay(self, accounts: NDArray[np.int32], micros: NDArray[np.int64], *, house: int) -> None:
        """Move to the house what these accounts pay; one may stand there several times.

        Each has as much, since its bids held it.
        """
        payers, of_entry = np.unique(accounts, return_inverse=True)
        sums = np.zeros(len(payers), dtype=np.int64)
        narrow = ~np.isin(payers, list(self.wide))
        counted = narrow[of_entry]
        np.add.at(sums, of_entry[counted], micros[counted])
        assert (self.balance[payers[narrow]] >= sums[narrow]).all(), "what is paid was held"
        self.balance[payers[narrow]] -= sums[narrow]
        self.active[payers] = self.moved[payers] = True
        for account, amount in zip(
            accounts[~counted].tolist(), micros[~counted].tolist(), strict=True
        ):
            self._add(account, -amount)
        self._add(house, sum(micros.tolist()))

    def end_holds(self) -> None:
        """The window closes: nothing is promised any more."""
        self.held.fill(0)
        for account in self.wide.values():
            account.held_micros = 0

    def begin_window(self) -> None:
        """Forget who was active, and whose balance has come back into the columns."""
        self.sent.fill(0)
        self.active.fill(0)
        self.moved.fill(0)
        for number, account in list(self.wide.items()):
            if abs(account.balance_micros) <= NARROW_MAX:
                self.balance[number] = account.balance_micros
                del self.wide[number]


def _longer(column: NDArray[T], more: int) -> NDArray[T]:
    return np.concatenate([column, np.zeros(more, column.dtype)])
