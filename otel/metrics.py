"""The metrics of a deployment: what its committed windows hold, counted once each.

Promise: a committed window is counted when it is published, so that the sums of a run equal SQL
over the ledger. Labels are bounded: no agent is one, and markets beyond `MARKETS_MAX` share one.
"""

from collections import Counter, defaultdict
from typing import Any, Final

import numpy as np
from opentelemetry.metrics import Meter

from otel import names
from otel.markets import MarketNumbers
from otel.names import Metric
from state.bids import REASONS, STATUSES
from state.window import PriceRow, Settlement

MARKETS_MAX: Final = 100
OTHER: Final = "_other"
STEP_LABEL: Final = "walras.step"
NS_PER_S: Final = 1_000_000_000

Labels = dict[str, Any]


class Metrics:
    """What a process counts; `meter` is OpenTelemetry's."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._instruments: dict[str, Any] = {}
        self._numbers: defaultdict[int, MarketNumbers] = defaultdict(MarketNumbers)
        self._markets: set[str] = set()
        self._unlabelled: set[str] = set()

    def add_window(self, window: Settlement, *, published_ns: int) -> None:
        """Count a committed window."""
        shard = {names.SHARD: window.shard}
        self.add(names.WINDOWS, 1, shard)
        self.add(names.DEAD_LETTERS, len(window.dead_letters), shard)
        self.observe(names.LAG, (published_ns - window.stream_time_ns) / NS_PER_S, shard)
        self._add_bids(window)
        self._add_commands(window)
        for market in window.markets:
            self.add(names.PAID_CREDITS, market.paid_micros, self._of(market.market))
        for price in window.prices:
            self._add_price(price)

    def add(self, metric: Metric, count: float, labels: Labels) -> None:
        """Count up; a counter appears with its first count, zero included."""
        self._instrument(metric).add(count, labels)

    def set(self, metric: Metric, value: float, labels: Labels) -> None:
        """Replace the value of a gauge."""
        self._instrument(metric).set(value, labels)

    def observe(self, metric: Metric, value: float, labels: Labels) -> None:
        """One observation of a histogram."""
        self._instrument(metric).record(value, labels)

    def _add_bids(self, window: Settlement) -> None:
        bids = window.bids
        if not len(bids):
            return
        markets = self._numbers[window.shard].of(bids.names)[bids.account]
        kinds = bids.status.astype(np.int64) * len(REASONS) + bids.reason
        counts = np.bincount(markets * len(STATUSES) * len(REASONS) + kinds)
        for code in np.flatnonzero(counts).tolist():
            rest, reason = divmod(code, len(REASONS))
            market, status = divmod(rest, len(STATUSES))
            labels = self._of(bids.names.markets[market])
            labels |= {names.STATUS: STATUSES[status].value, names.REASON: REASONS[reason] or ""}
            self.add(names.BIDS_JUDGED, int(counts[code]), labels)

    def _add_commands(self, window: Settlement) -> None:
        kinds = Counter((row.market, row.type, row.reason or "") for row in window.commands)
        for (market, kind, reason), count in kinds.items():
            labels = self._of(market) | {names.TYPE: kind, names.REASON: reason}
            self.add(names.COMMANDS, count, labels)

    def _add_price(self, price: PriceRow) -> None:
        labels = self._of(price.market) | {names.RESOURCE: price.resource}
        self.add(names.DEMANDED, price.demanded, labels)
        self.add(names.SOLD, price.sold, labels)
        self.set(names.SUPPLY, price.supply, labels)
        self.set(names.REFERENCE_PRICE, price.reference_micros, labels)
        if price.clearing_micros is not None:
            self.set(names.CLEARING, price.clearing_micros, labels)

    def _of(self, market: str) -> Labels:
        if market not in self._markets:
            if len(self._markets) >= MARKETS_MAX:
                return self._other(market)
            self._markets.add(market)
        return {names.MARKET: market}

    def _other(self, market: str) -> Labels:
        if market not in self._unlabelled and len(self._unlabelled) < MARKETS_MAX:
            self._unlabelled.add(market)
            self.add(names.DROPPED_MARKETS, 1, {})
        return {names.MARKET: OTHER}

    def _instrument(self, metric: Metric) -> Any:
        if metric.name not in self._instruments:
            self._instruments[metric.name] = self._made(metric)
        return self._instruments[metric.name]

    def _made(self, metric: Metric) -> Any:
        about = {"unit": metric.unit, "description": metric.description}
        match metric.kind:
            case "counter":
                return self._meter.create_counter(metric.name, **about)
            case "gauge":
                return self._meter.create_gauge(metric.name, **about)
            case "histogram":
                buckets = list(names.SECONDS)
                return self._meter.create_histogram(
                    metric.name, **about, explicit_bucket_boundaries_advisory=buckets
                )
