"""A market and its manager in a closed loop, window by window, without any server.

What the pure steps settle is passed to the quoting step, and its quotes enter the log of the next
window. `past_of` reads the closed windows as the ledger would give them back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flows.testing import LogWriter
from operators.pricing_rules import Observation
from operators.quote import Plan, QuotePrices
from operators.results import market_windows
from state.window import OutboundMessage, PriceRow, Settlement
from tests.operators.steps import Shard, settlements
from walras_schemas import MarketWindow, subjects

WINDOW_MS: Final = 1000
PLENTY: Final = 10**15

Bids = Sequence[Mapping[str, Any]]


def results_of(settlement: Settlement) -> list[MarketWindow]:
    """What is published of the markets of a window."""
    messages = market_windows(settlement, window_ms=WINDOW_MS)
    return [MarketWindow.model_validate_json(message.payload) for message in messages]


@dataclass(slots=True)
class MarketLoop:
    """One market `m1`, its log, and the manager that follows its plan."""

    plan: Plan
    log: LogWriter = field(default_factory=LogWriter)
    shard: Shard = field(default_factory=lambda: Shard(WINDOW_MS))
    results: list[MarketWindow] = field(default_factory=list)
    quoted: list[OutboundMessage] = field(default_factory=list)
    _step: QuotePrices = field(init=False)
    _read: int = 0

    def __post_init__(self) -> None:
        self._step = QuotePrices(lambda _market: self.plan, self.past_of, lambda _window: {})

    def open(self, **resources: Mapping[str, int]) -> None:
        """Open the market, and give its one agent more than it can spend."""
        self.log.open(
            market="m1",
            rule="uniform",
            **{name: dict(listed) for name, listed in resources.items()},
        )
        self.log.grant("a1", PLENTY)

    def play(self, bids: Bids = ()) -> list[PriceRow]:
        """One window with these bids: what it cleared; its quotes stand in the next one's log."""
        for bid in bids:
            self.log.bid("a1", **bid)
        self.log.wait(WINDOW_MS)
        self.log.tick()
        self.shard.read(self.log.records[self._read :])
        self._read = len(self.log.records)
        closed = settlements(self.shard.closed[-1:])
        for window in [window for settlement in closed for window in results_of(settlement)]:
            self._quote(window)
        return [row for settlement in closed for row in settlement.prices]

    def _quote(self, window: MarketWindow) -> None:
        self.results.append(window)
        for quote in self._step(window):
            self.quoted.append(quote)
            self.log.append(quote.subject, quote.payload)

    def past_of(self, _market: str, plan: Plan, before_window: int) -> dict[str, list[Observation]]:
        """What the controllers of a plan remember of the windows before one."""
        return {
            name: past_in(
                self.results, name, before=before_window, sales=controller.remembered_sales
            )
            for name, controller in plan.items()
        }


def past_in(
    results: Sequence[MarketWindow], resource: str, *, before: int, sales: int
) -> list[Observation]:
    """The latest window of a resource before one, and the latest of those with sales."""
    windows = [
        Observation(
            window.window_id,
            price.reference_micros,
            price.clearing_micros,
            price.supply,
            price.sold,
            price.wanted,
        )
        for window in results
        for price in window.prices
        if price.resource == resource and window.window_id < before
    ]
    sold = [window for window in windows if window.sold]
    return sorted({*windows[-1:], *sold[len(sold) - min(sales, len(sold)) :]})


def price_in(quote: OutboundMessage) -> tuple[str, int]:
    """The resource and the price that a quote names."""
    assert quote.subject in {subjects.price("m1", name) for name in ("cpu", "gpu")}
    return quote.subject.rpartition(".")[2], json.loads(quote.payload)["price_micros"]
