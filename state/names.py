"""Numbers for the names of a shard: its accounts and the resources that bids ask for.

Promise: a number is given when the log first mentions a name, in the order of the log, so that the
same log gives the same numbers; it is part of the ledger and never changes. A market's first
mention also numbers its `treasury` and `house`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from walras_schemas import HOUSE, TREASURY

Owner = tuple[str, str]
"""A market, and an agent or an account of the market's own."""


class NewNames(NamedTuple):
    """The names that a window mentioned first, in the order of their numbers."""

    first_account: int
    accounts: Sequence[Owner]
    first_resource: int
    resources: Sequence[str]


class Senders:
    """Who sent the bids of a slice, by the numbers that `decode` gave: they only ever grow."""

    def __init__(self) -> None:
        self.owners: list[Owner] = []

    def add(self, market: str, agent: str) -> int:
        """The number of a sender that had none."""
        self.owners.append((market, agent))
        return len(self.owners) - 1


@dataclass(slots=True)
class Names:
    """All names of one shard that were mentioned so far."""

    accounts: list[Owner] = field(default_factory=list)
    """By number: market and owner."""
    markets: list[str] = field(default_factory=list)
    """By number, which the process gives and the ledger does not keep."""
    market_of: list[int] = field(default_factory=list)
    """By number of the account: the number of its market."""
    resources: list[str] = field(default_factory=list)
    """By number."""
    market_numbers: dict[str, int] = field(default_factory=dict)
    account_numbers: dict[Owner, int] = field(default_factory=dict)
    resource_numbers: dict[str, int] = field(default_factory=dict)

    def account(self, market: str, owner: str) -> int:
        """The number of an account, a new one at its first mention."""
        number = self.account_numbers.get((market, owner))
        if number is None:
            if market not in self.market_numbers:
                self.market_numbers[market] = len(self.markets)
                self.markets.append(market)
                self._add_account((market, TREASURY))
                self._add_account((market, HOUSE))
            number = self._add_account((market, owner))
        return number

    def resource(self, name: str) -> int:
        """The number of a resource, a new one at its first mention."""
        number = self.resource_numbers.get(name)
        if number is None:
            number = self.resource_numbers[name] = len(self.resources)
            self.resources.append(name)
        return number

    def since(self, accounts: int, resources: int) -> NewNames:
        """The names beyond these counts."""
        return NewNames(accounts, self.accounts[accounts:], resources, self.resources[resources:])

    def _add_account(self, owner: Owner) -> int:
        known = self.account_numbers.get(owner)
        if known is not None:
            return known
        number = self.account_numbers[owner] = len(self.accounts)
        self.accounts.append(owner)
        self.market_of.append(self.market_numbers[owner[0]])
        return number
