"""Settle a closed window: statuses, payments, prices, and the digest over all of it.

Promise: credits only move from an agent to the house, as much as the bids say was paid; every hold
ends with the window; equal logs give equal digests (`operators/digest.py`).
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from operators.clear import Clearing, clear
from operators.clear_columns import clear_many, exact_sum
from operators.digest import digest_of
from operators.metering import close_meters, make_lots
from operators.order_book import Rows
from state.accounts import ShardAccounts
from state.bids import (
    LOST,
    NOT_REPORTED,
    PARTIALLY_WON,
    REJECTED,
    WITHDRAWN,
    WON,
    Bids,
)
from state.log import PricedSlice
from state.market import Terms
from state.window import Balances, ClosingWindow, LotRow, MarketRow, PriceRow, Settlement
from walras_schemas import HOUSE


def settle_window(
    window: ClosingWindow, priced: PricedSlice, accounts: ShardAccounts
) -> Settlement:
    """Clear every active market, move the payments, end the holds."""
    closing, names = priced.slice, accounts.names
    bids = Bids.joined(window.runs, names)
    prices: list[PriceRow] = []
    markets: list[MarketRow] = []
    lots: list[LotRow] = []
    commands = Counter(row.market for row in window.commands)
    accounts.end_holds()
    for market, rows in _rows_of(window, priced, bids, accounts):
        terms = priced.terms[market]
        clearing = _clear(terms, bids, rows[bids.status[rows] == LOST])
        _pay(market, bids, rows, accounts)
        prices += _prices(market, terms, clearing, closing.window_id)
        markets.append(_market(market, terms, bids, rows, commands[market]))
        lots += make_lots(accounts, market, terms, bids, rows, window_id=closing.window_id)
    heard = window.active | commands.keys() | {market for market, _ in window.metered.touched}
    settlement = Settlement(
        shard=closing.shard,
        window_id=closing.window_id,
        first_seq=window.first_seq,
        next_seq=closing.next_seq,
        stream_time_ns=closing.stream_time_ns,
        prev_digest=accounts.digest,
        bids=bids,
        commands=window.commands,
        dead_letters=window.dead_letters,
        prices=prices,
        markets=markets,
        balances=_balances(accounts),
        listings=priced.listings,
        new_names=names.since(window.accounts, window.resources),
        metering=close_meters(
            accounts, window.metered, sorted(heard), lots, window_id=closing.window_id
        ),
    )
    settlement.digest = accounts.digest = digest_of(settlement)
    accounts.begin_window()
    return settlement


def _rows_of(
    window: ClosingWindow, priced: PricedSlice, bids: Bids, accounts: ShardAccounts
) -> Iterator[tuple[str, Rows]]:
    """Each active market that was ever opened, by name, with the rows of its bids."""
    market_of = accounts.market[bids.account]
    order = np.argsort(market_of, kind="stable")
    ordered = market_of[order]
    for market in sorted(window.active.intersection(priced.terms)):
        number = accounts.names.market_numbers[market]
        first, behind = np.searchsorted(ordered, [number, number + 1])
        yield market, order[first:behind]


def _clear(terms: Terms, bids: Bids, rows: Rows) -> Clearing:
    """Clear the open bids in `rows`, and write how they ended."""
    clearing = clear_many(terms, bids, rows) or _clear_in_order(terms, bids, rows)
    won, asked = bids.won[rows], bids.quantity[rows]
    bids.status[rows] = np.select([won == asked, won > 0], [WON, PARTIALLY_WON], LOST)
    return clearing


def _clear_in_order(terms: Terms, bids: Bids, rows: Rows) -> Clearing:
    records = [bids[row] for row in rows.tolist()]
    clearing = clear(terms, records)
    for row, bid in zip(rows.tolist(), records, strict=True):
        bids.won[row], bids.paid_micros[row] = bid.won, bid.paid_micros
        lost_value = bid.lost_value_micros
        bids.lost_value_micros[row] = NOT_REPORTED if lost_value is None else lost_value
    return clearing


def _pay(market: str, bids: Bids, rows: Rows, accounts: ShardAccounts) -> None:
    payers = rows[bids.paid_micros[rows] > 0]
    if len(payers):
        house = accounts.names.account(market, HOUSE)
        accounts.pay(bids.account[payers], bids.paid_micros[payers], house=house)


def _prices(market: str, terms: Terms, clearing: Clearing, window_id: int) -> Iterator[PriceRow]:
    for name, resource in sorted(terms.resources.items()):
        yield PriceRow(
            market=market,
            resource=name,
            reference_micros=resource.reference_micros,
            reserve_micros=resource.reserve_micros,
            clearing_micros=clearing.clearing_micros.get(name),
            supply=resource.supply,
            demanded=clearing.demanded[name],
            wanted=clearing.wanted[name],
            sold=clearing.sold[name],
            stale=window_id >= resource.stale_from,
        )


def _market(market: str, terms: Terms, bids: Bids, rows: Rows, commands: int) -> MarketRow:
    """The market's window in numbers, from all its bids, refused ones too."""
    status = bids.status[rows]
    counts = np.bincount(status, minlength=WON + 1).tolist()
    admitted = rows[(status != REJECTED) & (status != WITHDRAWN)]
    price = bids.unit_price_micros[admitted]
    return MarketRow(
        market=market,
        rule=terms.rule,
        agents=len(np.unique(bids.account[rows])),
        bids=len(rows),
        won=counts[WON],
        partially_won=counts[PARTIALLY_WON],
        lost=counts[LOST],
        withdrawn=counts[WITHDRAWN],
        rejected=counts[REJECTED],
        commands=commands,
        paid_micros=exact_sum(bids.paid_micros[admitted]),
        offered_micros=exact_sum(bids.quantity[admitted] * price),
        served_micros=exact_sum(bids.won[admitted] * price),
    )


def _balances(accounts: ShardAccounts) -> Balances:
    active = np.flatnonzero(accounts.active)
    wide = {number: accounts.balance_of(number) for number in accounts.wide}
    return Balances(
        accounts=active.astype(np.int32),
        micros=accounts.balance[active],
        moved=accounts.moved[active],
        wide={number: micros for number, micros in wide.items() if accounts.active[number]},
    )
