"""Bids as columns: how the bulk of the log travels from `decode` to the ledger.

Promise: row i of every column is the same bid, rows stand in (seq, ord) order, and every value fits
its column: what a bid may hold is bounded by the registry, what it wins and pays by its limit.
Names travel as numbers, given in the order of the log (`state/names.py`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from state.names import Names
from walras_schemas import BidStatus, RejectionReason

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Int16s = NDArray[np.int16]
Bytes = NDArray[np.uint8]

BUNDLE: Final = -1
"""The resource of a row that asks for a bundle; `Bids.bundles` says for which."""
NOT_REPORTED: Final = -1
"""The lost value of a bid that was not rejected paradoxically."""

STATUSES: Final = tuple(BidStatus)
"""The status of a code in `Bids.status`."""
REASONS: Final = (None, *RejectionReason)
"""The reason of a code in `Bids.reason`, in order of precedence; 0 for none."""
REJECTED, WITHDRAWN, LOST, PARTIALLY_WON, WON = (STATUSES.index(status) for status in BidStatus)
REASON_CODES: Final[Mapping[RejectionReason | None, int]] = {
    reason: code for code, reason in enumerate(REASONS)
}

UUID_BYTES: Final = 16


class Bid(msgspec.Struct, gc=False):
    """One bid as a record: what the sequential way of clearing works on, and what readers see.

    A unit bid names a resource, a bundle does not.
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


@dataclass(slots=True, eq=False)
class Bids:
    """Some bids of one shard; of a bundle quantity and least are 1, and the price is its limit."""

    seq: Int64s
    ord: Int16s
    time_ns: Int64s
    account: Int32s
    """Number of the market and agent; in a decoded slice a number of that slice's senders."""
    event_id: Bytes
    """n rows of 16 bytes."""
    resource: Int32s
    """Number of the resource, or `BUNDLE`; in a decoded slice a number of that slice's own."""
    quantity: Int64s
    unit_price_micros: Int64s
    min_quantity: Int64s
    status: Bytes
    reason: Bytes
    won: Int64s
    """Units; of a bundle 0 or 1."""
    paid_micros: Int64s
    lost_value_micros: Int64s
    bundles: dict[int, Mapping[str, int]] = field(default_factory=dict)
    """Row to what a bundle asks for."""
    names: Names = field(default_factory=Names)

    @classmethod
    def of(cls, columns: Mapping[str, Any], bundles: dict[int, Mapping[str, int]]) -> Self:
        """Bids that were not checked yet, from the columns that their messages give."""
        count = len(columns["seq"])
        return cls(
            **columns,
            status=np.full(count, REJECTED, dtype=np.uint8),
            reason=np.zeros(count, dtype=np.uint8),
            won=np.zeros(count, dtype=np.int64),
            paid_micros=np.zeros(count, dtype=np.int64),
            lost_value_micros=np.full(count, NOT_REPORTED, dtype=np.int64),
            bundles=bundles,
        )

    @classmethod
    def none(cls) -> Self:
        """No bids."""
        return cls.of(empty_columns(), {})

    @classmethod
    def joined(cls, runs: list[Self], names: Names) -> Self:
        """The bids of several runs, one after the other."""
        if len(runs) == 1:
            return replace(runs[0], names=names)
        if not runs:
            return replace(cls.none(), names=names)
        bundles: dict[int, Mapping[str, int]] = {}
        start = 0
        for run in runs:
            bundles |= {start + row: bundle for row, bundle in run.bundles.items()}
            start += len(run)
        columns = {
            name: np.concatenate([getattr(run, name) for run in runs]) for name in COLUMN_NAMES
        }
        return cls(**columns, bundles=bundles, names=names)

    def __len__(self) -> int:
        return len(self.seq)

    @override
    def __eq__(self, other: object) -> bool:
        """Whether all columns agree; what their numbers name is in the windows' new names."""
        return (
            isinstance(other, Bids)
            and self.bundles == other.bundles
            and all(np.array_equal(getattr(self, at), getattr(other, at)) for at in COLUMN_NAMES)
        )

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, row: int) -> Bid:
        """One bid as a record of its own, for the sequential way and for readers."""
        market, agent = self.names.accounts[self.account[row]]
        number = int(self.resource[row])
        lost_value = int(self.lost_value_micros[row])
        return Bid(
            seq=int(self.seq[row]),
            ord=int(self.ord[row]),
            time_ns=int(self.time_ns[row]),
            market=market,
            agent=agent,
            event_id=event_id_text(self.event_id[row].tobytes()),
            resource=None if number == BUNDLE else self.names.resources[number],
            quantity=int(self.quantity[row]),
            unit_price_micros=int(self.unit_price_micros[row]),
            min_quantity=int(self.min_quantity[row]),
            bundle=self.bundles.get(row),
            status=STATUSES[self.status[row]],
            reason=REASONS[self.reason[row]],
            won=int(self.won[row]),
            paid_micros=int(self.paid_micros[row]),
            lost_value_micros=None if lost_value == NOT_REPORTED else lost_value,
        )

    def __iter__(self) -> Iterator[Bid]:
        return map(self.__getitem__, range(len(self)))

    def taken(self, rows: NDArray[np.intp]) -> Self:
        """These rows, in this order."""
        columns = {name: getattr(self, name)[rows] for name in COLUMN_NAMES}
        bundles = {
            at: self.bundles[row]
            for at, row in (enumerate(rows.tolist()) if self.bundles else ())
            if row in self.bundles
        }
        return type(self)(**columns, bundles=bundles, names=self.names)

    def event_id_texts(self) -> list[str]:
        """The event id of each row in its canonical form, lower case with hyphens."""
        digits = np.frombuffer(self.event_id.tobytes().hex().encode(), dtype=np.uint8)
        digits = digits.reshape(-1, 2 * UUID_BYTES)
        texts = np.full((len(self), 36), ord("-"), dtype=np.uint8)
        for hyphens, (start, end) in enumerate(pairwise((0, 8, 12, 16, 20, 32))):
            texts[:, start + hyphens : end + hyphens] = digits[:, start:end]
        joined = texts.tobytes().decode("ascii")
        return [joined[at : at + 36] for at in range(0, len(joined), 36)]


COLUMN_NAMES: Final = tuple(
    each.name for each in fields(Bids) if each.name not in {"bundles", "names"}
)


def empty_columns() -> dict[str, Any]:
    """The columns that messages give, of no message."""
    wide = dict.fromkeys(
        ("seq", "time_ns", "quantity", "unit_price_micros", "min_quantity"), np.int64
    )
    columns: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in wide.items()}
    columns |= {name: np.empty(0, np.int32) for name in ("account", "resource")}
    return columns | {
        "ord": np.empty(0, np.int16),
        "event_id": np.empty((0, UUID_BYTES), np.uint8),
    }


def event_id_text(value: bytes) -> str:
    """An event id of 16 bytes in its canonical form."""
    digits = value.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def event_id_bytes(text: str) -> bytes:
    """The 16 bytes of an event id, whatever the case of its letters."""
    return bytes.fromhex(text.replace("-", ""))
