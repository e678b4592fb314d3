"""A log's records and the ledger rows it must give, as plain values.

Promise: `Rows` holds the views of SEMANTICS §8, §14 and the messages of §7 as far as the log alone
decides them, each row a dict by the view's own column names. Left out are digests, commit times and
the wording of a dead letter's `error`. Times are whole microseconds of stream time since 1970,
cut and not rounded, under the column's name with `_us` behind it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogRecord:
    r"""One message of a shard's stream, with the server's sequence and time.

    Bytes of the subject that are no UTF-8 stand in it as `\xNN`, as §9 keeps them.
    """

    seq: int
    timestamp_ns: int
    subject: str
    payload: bytes


@dataclass(slots=True)
class Rows:
    """What the views of the ledger must show, and what was published, once all windows closed."""

    bids: list[Row] = field(default_factory=list)
    allocations: list[Row] = field(default_factory=list)
    transactions: list[Row] = field(default_factory=list)
    commands: list[Row] = field(default_factory=list)
    accounts: list[Row] = field(default_factory=list)
    windows: list[Row] = field(default_factory=list)
    prices: list[Row] = field(default_factory=list)
    market_windows: list[Row] = field(default_factory=list)
    markets: list[Row] = field(default_factory=list)
    resources: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    paradoxical_rejections: list[Row] = field(default_factory=list)
    lots: list[Row] = field(default_factory=list)
    allowances: list[Row] = field(default_factory=list)
    open_holds: list[Row] = field(default_factory=list)
    usage: list[Row] = field(default_factory=list)
    meters: list[Row] = field(default_factory=list)
    agent_results: list[Row] = field(default_factory=list)
    window_messages: list[Row] = field(default_factory=list)

    def add(self, more: Rows) -> None:
        """Append every row of others, each behind those of its own view."""
        for view in fields(Rows):
            getattr(self, view.name).extend(getattr(more, view.name))


def in_order(rows: Rows) -> Rows:
    """The same rows, each view sorted by its canonical JSON, so that two ledgers compare by ==."""
    return Rows(**{f.name: sorted(getattr(rows, f.name), key=_canonical) for f in fields(Rows)})


def _canonical(row: Row) -> str:
    return json.dumps(row, sort_keys=True, separators=(",", ":"), default=bytes.hex)
