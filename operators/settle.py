"""Settle a closed window: statuses, payments, prices, and the digest over all of it.

Promise: credits only move from an agent to the house, as much as the bids say was paid; every hold
ends with the window; equal logs give equal digests. The digest is over JSON lines of the window's
rows, so that anyone can compute it again from the ledger (docs/ledger.md).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from fractions import Fraction
from hashlib import sha256

import msgspec
from msgspec.structs import astuple as fields_of

from operators.clear import Clearing, Levels, clear, reserve_of, round_half_up, weight_of
from state.accounts import Bid, MarketAccounts
from state.market import Terms
from state.window import BalanceRow, CommandRow, DeadLetter, MarketRow, PriceRow
from walras_schemas import HOUSE, BidStatus

_json = msgspec.json.Encoder()

UNIFORM_RULES = frozenset({"uniform", "uniform_lab"})
CLEARED = frozenset({BidStatus.LOST, BidStatus.PARTIALLY_WON, BidStatus.WON})


def settle_market(
    market: str, terms: Terms, accounts: MarketAccounts, *, window_id: int
) -> list[PriceRow]:
    """Clear a market's open bids, move the payments, end the holds; its prices by resource name."""
    bids = list(accounts.open_bids.values())
    clearing = clear(terms, bids)
    _conclude(bids, accounts)
    demanded = _demanded(bids)
    clearing_micros = _clearing_prices(terms, clearing, bids)
    accounts.open_bids.clear()
    accounts.sent.clear()
    return [
        PriceRow(
            market=market,
            resource=name,
            reference_micros=resource.reference_micros,
            reserve_micros=resource.reserve_micros,
            clearing_micros=clearing_micros.get(name),
            supply=resource.supply,
            demanded=demanded.get(name, 0),
            wanted=clearing.wanted.get(name, 0),
            sold=clearing.sold[name],
            stale=window_id >= resource.stale_from,
        )
        for name, resource in sorted(terms.resources.items())
    ]


def _conclude(bids: Sequence[Bid], accounts: MarketAccounts) -> None:
    """End all holds, give winners their status, and move what each agent pays for all of its."""
    for agent in {bid.agent for bid in bids}:
        accounts.by_agent[agent].held_micros = 0
    payments: dict[str, int] = {}
    for bid in bids:
        if bid.won:
            paid = bid.paid_micros
            assert paid <= bid.limit_micros, "a payment above the limit was never held"
            bid.status = BidStatus.WON if bid.won == bid.quantity else BidStatus.PARTIALLY_WON
            payments[bid.agent] = payments.get(bid.agent, 0) + paid
    for agent, micros in payments.items():
        if micros:
            accounts.move(debit=agent, credit=HOUSE, amount_micros=micros)


def _demanded(bids: Iterable[Bid]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for bid in bids:
        if bid.resource is not None:
            totals[bid.resource] = totals.get(bid.resource, 0) + bid.quantity
        else:
            for resource, units in bid.demand.items():
                totals[resource] = totals.get(resource, 0) + units
    return totals


def _clearing_prices(terms: Terms, clearing: Clearing, bids: Sequence[Bid]) -> dict[str, int]:
    """Micros per unit of each resource that was sold, rounded half up."""
    sold = {name: units for name, units in clearing.sold.items() if units}
    if terms.rule in UNIFORM_RULES:
        return {name: round_half_up(_unit_price(terms, clearing.levels, name)) for name in sold}
    paid = _paid_for(terms, bids)
    return {name: round_half_up(paid[name] / units) for name, units in sold.items()}


def _unit_price(terms: Terms, levels: Levels, name: str) -> Fraction:
    rules = terms.resources[name]
    return rules.reserve_micros + levels.get(name, Fraction()) * rules.reference_micros


def _paid_for(terms: Terms, bids: Iterable[Bid]) -> Mapping[str, Fraction]:
    """What was paid for each resource: the reserve, and by reference value of what is above it."""
    paid: dict[str, Fraction] = {}
    for bid in bids:
        won = bid.allocation
        above, weight = bid.paid_micros - reserve_of(terms, won), weight_of(terms, won)
        for name, units in won.items():
            rules = terms.resources[name]
            share = Fraction(above * rules.reference_micros * units, weight)
            paid[name] = paid.get(name, Fraction()) + rules.reserve_micros * units + share
    return paid


def market_row(market: str, terms: Terms, bids: Sequence[Bid], commands: int) -> MarketRow:
    """A market's window in numbers, from all its bids, refused ones too."""
    counts = Counter(bid.status for bid in bids)
    admitted = [bid for bid in bids if bid.status in CLEARED]
    return MarketRow(
        market=market,
        rule=terms.rule,
        agents=len({bid.agent for bid in bids}),
        bids=len(bids),
        won=counts[BidStatus.WON],
        partially_won=counts[BidStatus.PARTIALLY_WON],
        lost=counts[BidStatus.LOST],
        withdrawn=counts[BidStatus.WITHDRAWN],
        rejected=counts[BidStatus.REJECTED],
        commands=commands,
        paid_micros=sum(bid.paid_micros for bid in admitted),
        offered_micros=sum(bid.limit_micros for bid in admitted),
        served_micros=sum(bid.won * bid.unit_price_micros for bid in admitted),
    )


def balances_of(market: str, accounts: MarketAccounts) -> list[BalanceRow]:
    """The accounts that were active in the window, by name; forgets that they were."""
    rows = [
        BalanceRow(
            market=market, agent=agent, balance_micros=accounts.by_agent[agent].balance_micros
        )
        for agent in sorted(accounts.active)
    ]
    accounts.active.clear()
    return rows


def digest_of(  # noqa: PLR0913  # one argument for each kind of row that the digest covers
    prev_digest: bytes,
    *,
    window_id: int,
    bids: Iterable[Bid],
    commands: Iterable[CommandRow],
    dead_letters: Iterable[DeadLetter],
    prices: Iterable[PriceRow],
    markets: Iterable[MarketRow],
    balances: Iterable[BalanceRow],
) -> bytes:
    """sha256 over the digest before and the window's rows, one JSON array a line.

    The text of a dead letter's error is left out: it may change with the decoder, its place and
    payload may not.
    """
    running = sha256(prev_digest)
    running.update(_json.encode_lines([("window", window_id)]))
    running.update(_json.encode_lines(map(_bid_line, bids)))
    running.update(_json.encode_lines(map(_command_line, commands)))
    running.update(_json.encode_lines(map(_dead_letter_line, dead_letters)))
    running.update(_json.encode_lines(map(_price_line, prices)))
    running.update(_json.encode_lines(map(_market_line, markets)))
    running.update(_json.encode_lines(map(_balance_line, balances)))
    return running.digest()


def _bid_line(bid: Bid) -> Bid | list[object]:
    """A bid is written as the array of its fields; a bundle's resources stand in their order."""
    if bid.bundle is None:
        return bid
    fields = [sorted(value.items()) if value is bid.bundle else value for value in fields_of(bid)]
    return ["bid", *fields]


def _command_line(row: CommandRow) -> tuple[object, ...]:
    return (
        "command",
        row.seq,
        row.ord,
        row.time_ns,
        row.market,
        row.sender,
        row.event_id,
        row.type,
        row.reason,
        row.amount_micros,
        row.recipient,
        row.purpose,
    )


def _dead_letter_line(letter: DeadLetter) -> tuple[object, ...]:
    payload = sha256(letter.payload).hexdigest()
    place = (letter.seq, letter.ord, letter.time_ns)
    return ("dead_letter", *place, letter.subject, letter.payload_bytes, payload)


def _price_line(row: PriceRow) -> tuple[object, ...]:
    return (
        "price",
        row.market,
        row.resource,
        row.reference_micros,
        row.reserve_micros,
        row.clearing_micros,
        row.supply,
        row.demanded,
        row.wanted,
        row.sold,
        row.stale,
    )


def _market_line(row: MarketRow) -> tuple[object, ...]:
    return ("market", row.market, row.rule, *map(str, astuple(row)[2:]))


def _balance_line(row: BalanceRow) -> tuple[object, ...]:
    return ("balance", row.market, row.agent, str(row.balance_micros))
