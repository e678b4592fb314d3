"""What every peer of the benchmark has to do, and what comes back.

The job: read the filled log from JetStream, refuse what the balance does not cover, allocate each
window's supply to the highest bids, let them pay, and leave bids with their outcome and balances in
Postgres. Promise: the clock runs from the first bid that a peer reads to its last commit; the
accounts were granted before, and a bid counts when its outcome is in the peer's own database.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.workload import Workload

BATCH_BIDS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a peer."""

    nats_url: str
    dsn: str
    """An empty database."""
    workload: Workload
    last_seq: int
    bids_max: int
    """After so many bids a slow peer may end: it settles the window that it is in, and stops."""

    def fetch(self, seq: int) -> int:
        """How many messages to ask for after `seq`: a batch of bids, and nothing past the end."""
        return min(max(BATCH_BIDS // self.workload.per_message, 1), self.last_seq - seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRun:
    """What a peer did."""

    settled: int
    """Bids with an outcome in the peer's database."""
    dropped: int
    """Bids that were read and have none."""
    seconds: float

    @property
    def bid_rate(self) -> float:
        """Bids a second."""
        return self.settled / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A contender: what it is, and what it leaves out that Walras does."""

    key: str
    what: str
    does_not_guarantee: str
    bids_max: int
    """It is slow: more bids would make it no faster, and take minutes."""
    run: Callable[[Job], PeerRun]
