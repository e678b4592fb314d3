"""The flow's side of metering: the events of meters in a window, the lots that its close makes.

Promise: what is metered follows from the log alone; a market that lists no resource with an
allowance, or whose meters were never opened, costs nothing here. `operators/meter.py` judges.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from operators.meter import Place, judge, lapse
from operators.order_book import Rows
from state.accounts import ShardAccounts
from state.bids import BUNDLE, Bids
from state.log import MeterMessage
from state.lots import Hold, Lot, MarketMeters, MeteredWindow
from state.market import Terms
from state.window import CommandRow, HoldRow, LotRow, Metering, MeterRow, UsageRow
from walras_schemas import MarketOpened

NOT_METERED: Final = Metering()


def list_market(
    accounts: ShardAccounts, market: str, opened: MarketOpened, window: MeteredWindow
) -> None:
    """Take in an applied opening: the first one fixes the market's meters and their lag."""
    meters = accounts.meters.get(market)
    if meters is None:
        meters = MarketMeters(lag_windows=opened.lag_windows, count=opened.meters)
        accounts.meters[market] = meters
    listed = {name for name, rules in opened.resources.items() if rules.allowance_windows}
    window.listed += [(market, name) for name in sorted(listed - meters.metered)]
    meters.metered |= listed


def judge_message(
    accounts: ShardAccounts, message: MeterMessage, window: MeteredWindow, *, window_id: int
) -> CommandRow | None:
    """Judge an event of a meter; its row when it was refused."""
    market, number = message.market, message.meter
    meters = accounts.meters.get(market)
    place = Place(message.seq, message.time_ns, window_id)

    def is_known(agent: str) -> bool:
        account = accounts.names.account_numbers.get((market, agent))
        return account is not None and bool(accounts.known[account])

    verdict = judge(meters, number, message.event, place, is_known=is_known)
    if meters is not None and number in meters.opened:
        window.touched.add((market, number))
    if verdict.reason is not None:
        return CommandRow(
            seq=message.seq,
            ord=message.ord,
            time_ns=message.time_ns,
            market=market,
            sender=f"meter.{number}",
            event_id=None,
            type=message.event.type,
            reason=verdict.reason,
        )
    if verdict.held is not None:
        window.held.append((market, number, verdict.held))
    window.ended += [(market, number, usage) for usage in verdict.ended]
    return None


def make_lots(  # noqa: PLR0913  # a market and its closing window
    accounts: ShardAccounts, market: str, terms: Terms, bids: Bids, rows: Rows, *, window_id: int
) -> Iterator[LotRow]:
    """What the agents of a market won of its metered resources in the closing window."""
    meters = accounts.meters[market]
    if not meters.opened:
        return
    allowances = {
        name: resource.allowance_windows
        for name, resource in terms.resources.items()
        if resource.allowance_windows
    }
    if not allowances:
        return
    won = _won(bids, rows[bids.won[rows] > 0], set(allowances))
    for (account, name), units in won.items():
        agent = accounts.names.accounts[account][1]
        number = meters.number_of(agent)
        if number in meters.opened:
            last = window_id + allowances[name]
            lot = Lot(agent, name, window_id=window_id, last_window=last, units=units, free=units)
            meters.opened[number].add(lot)
            yield _lot_row(account, number, lot)


def close_meters(
    accounts: ShardAccounts,
    window: MeteredWindow,
    heard: Iterable[str],
    lots: list[LotRow],
    *,
    window_id: int,
) -> Metering:
    """What the meters of the closing window leave; `heard` are the markets that had an event."""
    changed = [
        (market, lot)
        for market in heard
        if (meters := accounts.meters.get(market))
        for lot in lapse(meters, before=window_id - meters.lag_windows)
    ]
    if not (lots or changed or window.touched or window.listed):
        return NOT_METERED
    changed += [(market, lot) for market, _, hold in window.held for lot, _ in hold.draws]
    changed += [(market, lot) for market, _, usage in window.ended for lot, _ in usage.hold.draws]
    return Metering(
        lots=sorted(lots),
        changed_lots=sorted(set(_lot_rows(accounts, changed))),
        holds=sorted(_hold_row(accounts, market, number, it) for market, number, it in window.held),
        usage=sorted(
            UsageRow(
                _hold_row(accounts, market, number, usage.hold),
                seq=usage.seq,
                time_ns=usage.time_ns,
                used=usage.used,
                outcome=usage.outcome,
            )
            for market, number, usage in window.ended
        ),
        meters=[_meter_row(accounts, *touched) for touched in sorted(window.touched)],
        metered=window.listed,
    )


def _won(bids: Bids, winners: Rows, metered: set[str]) -> dict[tuple[int, str], int]:
    """Account and metered resource to the units that all its bids won."""
    won: defaultdict[tuple[int, str], int] = defaultdict(int)
    resources = bids.resource[winners]
    for number in np.unique(resources).tolist():
        rows = winners[resources == number]
        if number == BUNDLE:
            for row in rows.tolist():
                for name in metered & bids.bundles[row].keys():
                    won[int(bids.account[row]), name] += bids.bundles[row][name]
        elif (name := bids.names.resources[number]) in metered:
            accounts = bids.account[rows].tolist()
            for account, units in zip(accounts, bids.won[rows].tolist(), strict=True):
                won[account, name] += units
    return won


def _lot_rows(accounts: ShardAccounts, lots: Iterable[tuple[str, Lot]]) -> Iterator[LotRow]:
    for market, lot in lots:
        account = accounts.names.account_numbers[market, lot.agent]
        yield _lot_row(account, accounts.meters[market].number_of(lot.agent), lot)


def _lot_row(account: int, meter: int, lot: Lot) -> LotRow:
    return LotRow(
        account=account,
        resource=lot.resource,
        window_id=lot.window_id,
        last_window=lot.last_window,
        meter=meter,
        units=lot.units,
        held=lot.held,
        used=lot.used,
        overdrawn=lot.overdrawn,
        lapsed=lot.lapsed,
    )


def _hold_row(accounts: ShardAccounts, market: str, number: int, hold: Hold) -> HoldRow:
    return HoldRow(
        market=market,
        meter=number,
        epoch=hold.epoch,
        n=hold.n,
        account=accounts.names.account_numbers[market, hold.agent],
        resource=hold.resource,
        quantity=hold.quantity,
        window_id=hold.window_id,
        seq=hold.seq,
        time_ns=hold.time_ns,
        draws=tuple((lot.window_id, units) for lot, units in hold.draws),
    )


def _meter_row(accounts: ShardAccounts, market: str, number: int) -> MeterRow:
    meter = accounts.meters[market].opened[number]
    return MeterRow(market, number, meter.epoch, meter.next_n, meter.window_id)
