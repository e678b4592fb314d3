"""A market as its operator set it up: what is listed, what was quoted, what is in force.

A `Listing` is the latest word of the operator and of the pricing flow; `Terms` are what a window
clears under. A change inside window k counts from window k+1 (SEMANTICS §3), so the two differ
until the window ends. Both are values: a change makes a new one. What agents own is in
`state/accounts.py`; the two are checked apart because no operator's command depends on what an
agent holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from state.dedupe import DedupeIndex

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class ListedResource:
    """One resource as the latest `MarketOpened` and `SupplyChanged` list it."""

    supply: int
    initial_price_micros: int
    reserve_micros: int
    reserve_ratio_ppm: int
    allowance_windows: int


@dataclass(frozen=True, slots=True)
class Quote:
    """The last applied `PriceQuoted` of a resource and the window in which it arrived."""

    price_micros: int
    window_id: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The latest rules, resources and quotes of one market."""

    market: str
    opened_at: tuple[int, int]
    """(seq, ord) of the market's first applied `MarketOpened`."""
    opened_seq: int
    """Of the latest one."""
    is_open: bool
    rule: str
    stale_after_windows: int
    max_commands: int
    lag_windows: int
    meters: int
    resources: Mapping[str, ListedResource]
    quotes: Mapping[str, Quote]
    """Also of resources that are no longer listed: a quote outlives a reopening."""


@dataclass(frozen=True, slots=True)
class ResourceTerms:
    """What a window clears one resource under: supply in units, prices in micros a unit."""

    supply: int
    reference_micros: int
    reserve_micros: int
    stale_from: int
    """The first window in which these prices count as stale; 0 when nothing was ever quoted."""
    allowance_windows: int = 0
    """How many windows longer than this one what is won may be spent; 0: it is not metered."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a window clears one market under."""

    opened_at: tuple[int, int]
    is_open: bool
    rule: str
    max_commands: int
    """How many commands each agent may send in the window."""
    resources: Mapping[str, ResourceTerms]


def terms_of(listing: Listing) -> Terms:
    """The terms that `listing` puts in force from the next window on (SEMANTICS §3 and §6)."""
    return Terms(
        opened_at=listing.opened_at,
        is_open=listing.is_open,
        rule=listing.rule,
        max_commands=listing.max_commands,
        resources={
            name: _resource_terms(
                listed, listing.quotes.get(name), stale_after=listing.stale_after_windows
            )
            for name, listed in listing.resources.items()
        },
    )


def _resource_terms(
    listed: ListedResource, quote: Quote | None, *, stale_after: int
) -> ResourceTerms:
    reference = quote.price_micros if quote else listed.initial_price_micros
    return ResourceTerms(
        supply=listed.supply,
        reference_micros=reference,
        reserve_micros=max(listed.reserve_micros, reference * listed.reserve_ratio_ppm // PPM),
        stale_from=quote.window_id + stale_after + 1 if quote else 0,
        allowance_windows=listed.allowance_windows,
    )


@dataclass(slots=True)
class Listings:
    """All that `join_prices` remembers of one shard between two windows."""

    by_market: dict[str, Listing] = field(default_factory=dict)
    dedupe: DedupeIndex = field(default_factory=DedupeIndex)
