"""What every baseline of the benchmark has to do, and what it returns.

The job: read the loaded log from JetStream, refuse what the balance does not cover, allocate each
window's supply to the highest bids, let them pay, and leave bids with their outcome and balances in
Postgres. Promise: the clock runs from the first bid that a baseline reads to its last commit; the
accounts were granted before, and a bid counts when its outcome is in the baseline's own database.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.report.runs import BaselineRun
from bench.workload import Workload

BATCH_BIDS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a baseline."""

    nats_url: str
    dsn: str
    """An empty database."""
    folder: Path
    """On the disk that is measured."""
    workload: Workload
    last_seq: int
    bids_max: int
    """After so many bids a slow baseline may stop, once the window that it is in is settled."""

    def fetch(self, seq: int) -> int:
        """How many messages to ask for after `seq`: a batch of bids, and nothing past the end."""
        return min(max(BATCH_BIDS // self.workload.per_message, 1), self.last_seq - seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Another design of the market: what it is, and what it leaves out."""

    key: str
    what: str
    does_not_guarantee: str
    bids_max: int
    """More bids would make a slow baseline no faster, and take minutes."""
    run: Callable[[Job], BaselineRun]
    once: bool = False
    """Whether one round is enough: it is so much slower that no other would change the answer."""

    def takes_part(self, number: int) -> bool:
        """Whether it runs in the round of this number; the first is 1."""
        return number == 1 or not self.once
