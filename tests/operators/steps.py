"""The pure steps of the flow, chained by hand: what Bytewax does, without Bytewax.

**Promise:** the same rows as `flows.testing.settle_log`, many times as fast, so that thousands of
logs can be settled in a test; and a shard can be stopped at any message and restored from its
settlements alone, as the ledger restores it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice, repeat
from typing import Any, Final

from flows.testing import fresh_shard, with_final_tick
from operators.allocate import Allocate
from operators.decode import decode
from operators.join_prices import JoinPrices
from operators.windows import WindowAssigner
from state.bids import Bids, event_id_bytes
from state.dedupe import agent_key, operator_key
from state.log import Message, RawBatch
from state.shard import Position, ShardState, Token
from state.window import ClosedWindow, Settlement
from tests.operators.restored_meters import restore_meters
from walras_schemas import TREASURY, RejectionReason

FORGOTTEN: Final = {
    RejectionReason.UNKNOWN_MARKET,
    RejectionReason.MARKET_CLOSED,
    RejectionReason.OVER_QUOTA,
    RejectionReason.STALE_EVENT_ID,
    RejectionReason.FUTURE_EVENT_ID,
}
"""Reasons for which a command's id is not remembered as used."""


@dataclass(slots=True)
class Shard:
    """The steps of one shard, and every window that they have closed."""

    window_ms: int
    state: ShardState = field(default_factory=fresh_shard)
    closed: list[ClosedWindow] = field(default_factory=list)
    cut: WindowAssigner = field(init=False)
    join: JoinPrices = field(init=False)
    allocate: Allocate = field(init=False)
    _runs: list[Bids] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cut = WindowAssigner(self.window_ms, self.state.position.stream_time_ns)
        self.join = JoinPrices(self.state.listings)
        self.allocate = Allocate(self.state.accounts)

    def read(self, records: Sequence[Message]) -> None:
        """Take one batch of contiguous messages through all steps."""
        for raw in self.cut(raw_batch(records)):
            for priced in self.join(decode(raw)):
                self._runs.append(priced.slice.bids)
                self.closed += self.allocate(priced)
                if priced.slice.closes:
                    self._runs.clear()

    def open_runs(self) -> list[Bids]:
        """The bids of the open window, slice by slice, as they were judged."""
        return self._runs


def raw_batch(records: Sequence[Message]) -> RawBatch:
    """Messages as the source reads them from the stream of shard 0."""
    return RawBatch(
        shard=0,
        first_seq=records[0].seq,
        timestamps_ns=[record.timestamp_ns for record in records],
        subjects=[record.subject for record in records],
        payloads=[record.payload for record in records],
    )


def settle(
    records: Sequence[Message], *, window_ms: int = 1000, sizes: Iterable[int] = repeat(1000)
) -> list[ClosedWindow]:
    """Every closed window of a whole log, read in batches of the given sizes."""
    shard = Shard(window_ms)
    left = iter(with_final_tick(records, window_ms=window_ms))
    for size in sizes:
        batch = list(islice(left, size))
        if not batch:
            return shard.closed
        shard.read(batch)
    raise ValueError("the sizes ended before the log did")


def settlements(windows: Iterable[ClosedWindow]) -> list[Settlement]:
    """The windows that left a row."""
    return [window for window in windows if isinstance(window, Settlement)]


def final_digest(windows: Iterable[ClosedWindow]) -> str:
    """The digest of the last window that left a row: equal digests mean equal ledgers."""
    return settlements(windows)[-1].digest.hex()


def restore(windows: Sequence[ClosedWindow]) -> ShardState:
    """The shard as its closed windows left it: nothing else survives a crash."""
    if not windows:
        return fresh_shard()
    last = windows[-1]
    state = ShardState(
        shard=last.shard,
        token=Token(1),
        position=Position(next_seq=last.next_seq, stream_time_ns=last.stream_time_ns),
    )
    for settlement in settlements(windows):
        _take_in(state, settlement)
    restore_meters(state.accounts, settlements(windows))
    return state


def _take_in(state: ShardState, settlement: Settlement) -> None:
    accounts, names = state.accounts, state.accounts.names
    accounts.digest = settlement.digest
    state.listings.by_market |= {listing.market: listing for listing in settlement.listings}
    for market, owner in settlement.new_names.accounts:
        names.account(market, owner)
    for resource in settlement.new_names.resources:
        names.resource(resource)
    accounts.make_room()
    for account, micros in settlement.balances.of().items():
        accounts.set_balance(account, micros)
    for bid in settlement.bids:
        if bid.reason not in FORGOTTEN:
            account = names.account_numbers[bid.market, bid.agent]
            accounts.dedupe.remember(agent_key(account, event_id_bytes(bid.event_id)))
    for row in settlement.commands:
        if row.reason not in FORGOTTEN and row.event_id is not None:
            event_id = event_id_bytes(row.event_id)
            if row.sender == TREASURY:
                state.listings.dedupe.remember(operator_key(row.market, event_id))
            else:
                account = names.account_numbers[row.market, row.sender]
                accounts.dedupe.remember(agent_key(account, event_id))


def plain(windows: Iterable[ClosedWindow]) -> list[dict[str, Any]]:
    """All that windows hold, as values that compare by ==."""
    return [_plain(window) for window in windows]


def _plain(window: ClosedWindow) -> dict[str, Any]:
    content = {field.name: getattr(window, field.name) for field in fields(window)}
    if isinstance(window, Settlement):
        owners = window.bids.names.accounts
        moved = window.balances.accounts[window.balances.moved].tolist()
        content |= {
            "bids": list(window.bids),
            "accounts": window.bids.account.tolist(),
            "balances": {owners[n]: micros for n, micros in window.balances.of().items()},
            "moved": [owners[number] for number in moved],
        }
    return content
