"""One shard as it stands between two windows: where it reads on and what it remembers.

Promise: the ledger can always give this back (`claim`), and together with the log from `next_seq`
it gives the same rows as if nothing had stopped.
"""

from dataclasses import dataclass, field
from typing import NewType

from state.accounts import ShardAccounts
from state.market import Listings

Token = NewType("Token", int)
"""The fencing token: a commit with any other than the ledger's own is refused."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a shard stands in its log."""

    next_seq: int = 1
    """The next to read."""
    stream_time_ns: int = 0
    """t(m) of the last message that was applied; 0 before the first."""


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """Which log a ledger was built from: a stream made again under its name is another one."""

    name: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class ShardState:
    """What a claim of a shard returns: the right to write it and the state to go on from."""

    shard: int
    token: Token
    position: Position = field(default_factory=Position)
    listings: Listings = field(default_factory=Listings)
    accounts: ShardAccounts = field(default_factory=ShardAccounts)
