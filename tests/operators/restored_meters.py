"""Meters as their shard's settlements left them: what the ledger keeps, without the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from state.accounts import ShardAccounts
from state.lots import Hold, Lot, MarketMeters, Meter
from state.window import HoldRow, LotRow, MeterRow, Settlement


@dataclass(slots=True)
class _Left:
    """The latest rows of everything."""

    lots: dict[tuple[int, str, int], LotRow] = field(default_factory=dict)
    holds: dict[tuple[str, int, int, int], HoldRow] = field(default_factory=dict)
    meters: dict[tuple[str, int], MeterRow] = field(default_factory=dict)
    fixed: dict[str, tuple[int, int]] = field(default_factory=dict)


def restore_meters(accounts: ShardAccounts, windows: Sequence[Settlement]) -> None:
    """Give the accounts of a shard back what its meters held and may hold."""
    left = _Left()
    for window in windows:
        made = window.metering
        for listing in window.listings:
            left.fixed[listing.market] = listing.lag_windows, listing.meters
        left.lots |= {(row.account, row.resource, row.window_id): row for row in made.lots}
        left.lots |= {(row.account, row.resource, row.window_id): row for row in made.changed_lots}
        left.meters |= {(row.market, row.meter): row for row in made.meters}
        left.holds |= {(row.market, row.meter, row.epoch, row.n): row for row in made.holds}
        for usage in made.usage:
            del left.holds[usage.hold[:4]]
    accounts.meters = {
        market: MarketMeters(lag_windows=lag, count=count)
        for market, (lag, count) in left.fixed.items()
    }
    for window in windows:
        for market, resource in window.metering.metered:
            accounts.meters[market].metered.add(resource)
    for row in left.meters.values():
        meter = Meter(epoch=row.epoch, next_n=row.next_n, window_id=row.window_id)
        accounts.meters[row.market].opened[row.meter] = meter
    lots = {key: _lot(accounts, row) for key, row in left.lots.items()}
    for hold in left.holds.values():
        _hold(accounts, hold, lots)


def _lot(accounts: ShardAccounts, row: LotRow) -> Lot:
    market, agent = accounts.names.accounts[row.account]
    lot = Lot(
        agent=agent,
        resource=row.resource,
        window_id=row.window_id,
        last_window=row.last_window,
        units=row.units,
        free=row.units - row.held - row.used,
        held=row.held,
        used=row.used,
        overdrawn=row.overdrawn,
        lapsed=row.lapsed,
    )
    accounts.meters[market].opened[row.meter].add(lot)
    return lot


def _hold(accounts: ShardAccounts, row: HoldRow, lots: Mapping[tuple[int, str, int], Lot]) -> None:
    hold = Hold(
        epoch=row.epoch,
        n=row.n,
        agent=accounts.names.accounts[row.account][1],
        resource=row.resource,
        quantity=row.quantity,
        window_id=row.window_id,
        seq=row.seq,
        time_ns=row.time_ns,
        draws=tuple((lots[row.account, row.resource, k], units) for k, units in row.draws),
    )
    accounts.meters[row.market].opened[row.meter].holds[row.n] = hold
