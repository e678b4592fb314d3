"""A log's records and the ledger rows it must give, as plain values.

Promise: `Rows` holds exactly the columns of SEMANTICS §8 that the log alone decides. Left out are
digests, commit times and transaction ids (they belong to one ledger), and the wording and payload
of a dead letter. Times are stream time in nanoseconds, under the key `timestamp_ns`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One message of a shard's stream, with the server's sequence and time."""

    seq: int
    timestamp_ns: int
    subject: str
    payload: bytes


@dataclass(slots=True)
class Rows:
    """What the views of the ledger must show once every window of a log is closed."""

    bids: list[Row] = field(default_factory=list)
    allocations: list[Row] = field(default_factory=list)
    transactions: list[Row] = field(default_factory=list)
    commands: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    windows: list[Row] = field(default_factory=list)
    prices: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)


def in_order(rows: Rows) -> Rows:
    """The same rows, each view sorted by its canonical JSON, so that two ledgers compare by ==."""
    return Rows(**{f.name: sorted(getattr(rows, f.name), key=_canonical) for f in fields(Rows)})


def _canonical(row: Row) -> str:
    return json.dumps(row, sort_keys=True, separators=(",", ":"))
