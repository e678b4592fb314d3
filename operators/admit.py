"""Check commands: who may do what, and what a bid holds, in the order of precedence of the rules.

Promise: the first rule that fails gives the reason (`RejectionReason` is in that order), a refused
command changes nothing but the memory of its id, and an admitted bid holds its maximum cost, so no
credit is promised twice. The rules' numbers are those of SEMANTICS §4.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from state.accounts import ShardAccounts
from state.bids import Bid, event_id_bytes
from state.dedupe import agent_key, operator_key
from state.log import Event, OperatorCommand
from state.market import ListedResource, Listing, Listings, Quote, Terms
from walras_schemas import (
    INT64_MAX,
    CreditsGranted,
    MarketClosed,
    MarketOpened,
    PriceQuoted,
    RejectionReason,
    SupplyChanged,
)

VICKREY: Final = "vickrey"


class Sent(NamedTuple):
    """What `check_sender` looks at of a command that is not a bid."""

    seq: int
    ord: int
    time_ns: int
    event_id: str


def check_operator(
    listings: Listings,
    terms: Terms | None,
    event: Event,
    command: OperatorCommand,
    *,
    window_id: int,
) -> RejectionReason | None:
    """Check an operator's command and apply it to the listings; None when it was applied.

    A grant passes here by rules 1 to 6; the credits themselves move in `allocate`.
    """
    listing = listings.by_market.get(event.market)
    if not isinstance(command, MarketOpened):
        if terms is None:
            return RejectionReason.UNKNOWN_MARKET
        if not terms.is_open:
            return RejectionReason.MARKET_CLOSED
    key = operator_key(event.market, event_id_bytes(command.event_id))
    reason = listings.dedupe.check(key, time_ns=event.time_ns)
    if reason is not None or isinstance(command, CreditsGranted):
        return reason
    changed = _relist(command, listing, event, window_id=window_id)
    if changed is None:
        return RejectionReason.UNKNOWN_RESOURCE
    listings.by_market[event.market] = changed
    return None


def _relist(
    command: MarketOpened | MarketClosed | SupplyChanged | PriceQuoted,
    listing: Listing | None,
    event: Event,
    *,
    window_id: int,
) -> Listing | None:
    """The market's listing after the command; None when it names a resource not listed."""
    if isinstance(command, MarketOpened):
        return _opened(command, listing, event)
    assert listing is not None, "rule 2 lets nothing but an opening through"
    if isinstance(command, MarketClosed):
        return replace(listing, is_open=False)
    resource = event.resource if isinstance(command, PriceQuoted) else command.resource
    if resource is None or resource not in listing.resources:
        return None
    if isinstance(command, PriceQuoted):
        quote = Quote(price_micros=command.price_micros, window_id=window_id)
        return replace(listing, quotes={**listing.quotes, resource: quote})
    changed = replace(listing.resources[resource], supply=command.supply)
    return replace(listing, resources={**listing.resources, resource: changed})


def _opened(command: MarketOpened, listing: Listing | None, event: Event) -> Listing:
    return Listing(
        market=event.market,
        opened_at=listing.opened_at if listing else (event.seq, event.ord),
        opened_seq=event.seq,
        is_open=True,
        rule=command.rule,
        stale_after_windows=command.stale_after_windows,
        max_commands=command.max_commands,
        lag_windows=listing.lag_windows if listing else command.lag_windows,
        meters=listing.meters if listing else command.meters,
        resources={
            name: ListedResource(
                supply=rules.supply,
                initial_price_micros=rules.initial_price_micros,
                reserve_micros=rules.reserve_micros,
                reserve_ratio_ppm=rules.reserve_ratio_ppm,
                allowance_windows=rules.allowance_windows,
            )
            for name, rules in command.resources.items()
        },
        quotes=listing.quotes if listing else {},
    )


def check_sender(
    terms: Terms | None, accounts: ShardAccounts, account: int, sent: Sent | Bid
) -> RejectionReason | None:
    """Rules 2 to 6, which every agent's command passes first; counts it for rule 4."""
    if terms is None or (sent.seq, sent.ord) < terms.opened_at:
        return RejectionReason.UNKNOWN_MARKET
    if not terms.is_open:
        return RejectionReason.MARKET_CLOSED
    accounts.sent[account] += 1
    if accounts.sent[account] > terms.max_commands:
        return RejectionReason.OVER_QUOTA
    key = agent_key(account, event_id_bytes(sent.event_id))
    return accounts.dedupe.check(key, time_ns=sent.time_ns)


def admit_bid(
    terms: Terms, accounts: ShardAccounts, account: int, bid: Bid
) -> RejectionReason | None:
    """Rules 8 to 15 for a bid that passed `check_sender`: hold its limit, or say why not."""
    if not accounts.known[account]:
        return RejectionReason.UNKNOWN_AGENT
    divisible = bid.bundle is None and bid.min_quantity == 1
    reason = terms_refusal(terms, bid.demand, bid.limit_micros, divisible=divisible)
    if reason is not None:
        return reason
    if accounts.free_of(account) < bid.limit_micros:
        return RejectionReason.INSUFFICIENT_BALANCE
    accounts.hold(account, bid.limit_micros)
    return None


def terms_refusal(
    terms: Terms, demand: Mapping[str, int], limit_micros: int, *, divisible: bool
) -> RejectionReason | None:
    """The first of the rules 10 to 14 that refuses a bid, whoever placed it."""
    reserve, exceeds = 0, False
    for name, units in demand.items():
        resource = terms.resources.get(name)
        if resource is None:
            return RejectionReason.UNKNOWN_RESOURCE
        reserve += resource.reserve_micros * units
        exceeds |= units > resource.supply
    if terms.rule == VICKREY and not divisible:
        return RejectionReason.UNSUPPORTED_BY_RULE
    if exceeds:
        return RejectionReason.EXCEEDS_SUPPLY
    if limit_micros < reserve:
        return RejectionReason.BELOW_RESERVE
    if limit_micros > INT64_MAX:
        return RejectionReason.AMOUNT_OVERFLOW
    return None


def transfer(
    accounts: ShardAccounts, sender: int, recipient: int, amount_micros: int
) -> RejectionReason | None:
    """Move credits at once; the recipient becomes known by it."""
    if not accounts.known[sender]:
        return RejectionReason.UNKNOWN_AGENT
    if sender == recipient:
        return RejectionReason.SELF_TRANSFER
    if accounts.free_of(sender) < amount_micros:
        return RejectionReason.INSUFFICIENT_BALANCE
    accounts.move(debit=sender, credit=recipient, amount_micros=amount_micros)
    return None
