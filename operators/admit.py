"""Check commands: who may do what, and what a bid holds, in the order of precedence of the rules.

Promise: the first rule that fails gives the reason (`RejectionReason` is in that order), a refused
command changes nothing but the memory of its id, and an admitted bid holds its maximum cost, so no
credit is promised twice. The rules' numbers are those of SEMANTICS §4.
"""

from dataclasses import replace

from state.accounts import Account, Bid, MarketAccounts, bid_key
from state.dedupe import DedupeIndex
from state.log import Event, OperatorCommand
from state.market import ListedResource, Listing, Listings, Quote, Terms
from walras_schemas import (
    INT64_MAX,
    TREASURY,
    BidStatus,
    BidWithdrawn,
    CreditsGranted,
    CreditsTransferred,
    MarketClosed,
    MarketOpened,
    PriceQuoted,
    RejectionReason,
    SupplyChanged,
)

VICKREY = "vickrey"


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
    key = bid_key(event.market, TREASURY, command.event_id.lower())
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
    terms: Terms | None, accounts: MarketAccounts, dedupe: DedupeIndex, sent: Event | Bid, key: str
) -> RejectionReason | None:
    """Rules 2 to 6, which every agent's command passes first; counts it for rule 4."""
    if terms is None or (sent.seq, sent.ord) < terms.opened_at:
        return RejectionReason.UNKNOWN_MARKET
    if not terms.is_open:
        return RejectionReason.MARKET_CLOSED
    agent = sent.agent if isinstance(sent, Bid) else sent.sender
    accounts.sent[agent] = count = accounts.sent.get(agent, 0) + 1
    if count > terms.max_commands:
        return RejectionReason.OVER_QUOTA
    return dedupe.check(key, time_ns=sent.time_ns)


def admit_bid(terms: Terms, accounts: MarketAccounts, key: str, bid: Bid) -> None:
    """Rules 8 to 15 for a bid that passed `check_sender`: hold its limit, or say why not."""
    account, hold = accounts.by_agent.get(bid.agent), bid.limit_micros
    bid.reason = _refusal(terms, account, bid, hold)
    if bid.reason is None:
        assert account is not None, "rule 8 lets no bid through without one"
        account.held_micros += hold
        bid.status = BidStatus.LOST
        accounts.open_bids[key] = bid


def _refusal(  # noqa: PLR0911  # one return a rule, in the order of the rules
    terms: Terms, account: Account | None, bid: Bid, hold: int
) -> RejectionReason | None:
    """The first of the rules 8 to 15 that refuses the bid and what it is to hold."""
    if account is None:
        return RejectionReason.UNKNOWN_AGENT
    reserve, exceeds = 0, False
    for name, units in bid.demand.items():
        resource = terms.resources.get(name)
        if resource is None:
            return RejectionReason.UNKNOWN_RESOURCE
        reserve += resource.reserve_micros * units
        exceeds |= units > resource.supply
    if terms.rule == VICKREY and (bid.bundle is not None or bid.min_quantity != 1):
        return RejectionReason.UNSUPPORTED_BY_RULE
    if exceeds:
        return RejectionReason.EXCEEDS_SUPPLY
    if hold < reserve:
        return RejectionReason.BELOW_RESERVE
    if hold > INT64_MAX:
        return RejectionReason.AMOUNT_OVERFLOW
    if account.free_micros < hold:
        return RejectionReason.INSUFFICIENT_BALANCE
    return None


def withdraw(
    accounts: MarketAccounts, event: Event, command: BidWithdrawn
) -> RejectionReason | None:
    """Release what an open bid of the sender's own holds."""
    key = bid_key(event.market, event.sender, command.bid_event_id.lower())
    bid = accounts.open_bids.pop(key, None)
    if bid is None:
        return RejectionReason.NOT_OPEN
    bid.status = BidStatus.WITHDRAWN
    accounts.by_agent[bid.agent].held_micros -= bid.limit_micros
    return None


def transfer(
    accounts: MarketAccounts, event: Event, command: CreditsTransferred
) -> RejectionReason | None:
    """Move credits at once; the recipient becomes known by it."""
    sender = accounts.by_agent.get(event.sender)
    if sender is None:
        return RejectionReason.UNKNOWN_AGENT
    if command.to_agent_id == event.sender:
        return RejectionReason.SELF_TRANSFER
    if sender.free_micros < command.amount_micros:
        return RejectionReason.INSUFFICIENT_BALANCE
    accounts.move(
        debit=event.sender, credit=command.to_agent_id, amount_micros=command.amount_micros
    )
    return None
