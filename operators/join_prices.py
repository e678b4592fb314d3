"""Join each window with the market terms in force: rules, supplies, rolling prices, reserves.

Promise: a change inside window k counts from window k+1, a market's first opening at once
(SEMANTICS §3). Allocation never waits for a quote: when the feed is silent the last known prices
stay in force, and the terms say from which window on they are stale. The operators' commands are
judged here, where their state lives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from operators.admit import check_operator
from state.log import Event, EventSlice, OperatorCommand, PricedSlice, ReviewedCommand
from state.market import Listings, Terms, terms_of


@dataclass(slots=True)
class JoinPrices:
    """The step: remembers the latest listings, and the terms that the open window began with."""

    listings: Listings
    _open: int | None = None
    _terms: Mapping[str, Terms] = field(default_factory=dict)
    _changed: set[str] = field(init=False)
    """Markets whose listing is newer than their terms in force."""

    def __post_init__(self) -> None:
        self._changed = set(self.listings.by_market)

    def __call__(self, decoded: EventSlice) -> Iterator[PricedSlice]:
        """Attach the terms in force, and on the closing slice the listings that changed."""
        if decoded.window_id != self._open:
            self._open = decoded.window_id
            self._put_in_force()
        for at, event in enumerate(decoded.events):
            if type(event) is Event and isinstance(event.command, OperatorCommand):
                decoded.events[at] = self._check(event, event.command)
        changed = sorted(self._changed) if decoded.closes else ()
        yield PricedSlice(
            slice=decoded,
            terms=self._terms,
            listings=tuple(self.listings.by_market[market] for market in changed),
        )

    def _put_in_force(self) -> None:
        fresh = {market: terms_of(self.listings.by_market[market]) for market in self._changed}
        self._terms = {**self._terms, **fresh}
        self._changed.clear()

    def _check(self, event: Event, command: OperatorCommand) -> Event:
        assert self._open is not None
        before = self.listings.by_market.get(event.market)
        terms = self._terms.get(event.market)
        reason = check_operator(self.listings, terms, event, command, window_id=self._open)
        after = self.listings.by_market.get(event.market)
        if after is not before:
            self._changed.add(event.market)
        if after is not None and event.market not in self._terms:
            self._terms = {**self._terms, event.market: terms_of(after)}
        return event._replace(command=ReviewedCommand(command, reason))
