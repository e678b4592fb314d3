"""The spans of one window: those of its traced bids, and a trace of its own.

Promise: every id follows from the place in the log, so that a span made again is the same span. A
bid's trace and its window's are linked both ways, by links and by attributes, because some backends
drop links.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from otel import names
from otel.markets import MarketNumbers
from otel.propagation import Parent, span_id, trace_id
from otel.ranks import Ranks
from state.bids import Bid
from state.window import Settlement

LINKS_MAX: Final = 128
"""As many as SDKs and backends keep by default."""
BIDS_MAX: Final = 32
"""So many bids of one message get spans."""

SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Traced(NamedTuple):
    """A sampled message, when it was read and when its bids were judged, by the host's clock."""

    seq: int
    parent: Parent
    read_ns: int
    judged_ns: int = 0


@dataclass(slots=True)
class WindowTimes:
    """When each step worked on a window, by the host's clock, in nanoseconds."""

    began_ns: int
    clearing_ns: int = 0
    settled_ns: int = 0
    committing_ns: int = 0
    committed_ns: int = 0
    publishing_ns: int = 0
    published_ns: int = 0
    traced: list[Traced] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SpanMaker:
    """Makes the spans of one shard's windows."""

    resource: Resource
    log: str
    """Which log the places are in: a stream made again has other messages."""
    shard: int
    numbers: MarketNumbers = field(default_factory=MarketNumbers)

    def of(
        self, window: Settlement, times: WindowTimes
    ) -> Iterator[tuple[ReadableSpan, Bid | None]]:
        """The spans, parents first; those of allocations with their bids."""
        ranks = Ranks(window, self.numbers)
        root = self._context(trace_id(self.log, window.window_id), "window", window.window_id)
        allocated: list[SpanContext] = []
        for traced in times.traced:
            for span, bid in self._message(window, times, traced, ranks, root):
                if bid is not None and span.context is not None:
                    allocated.append(span.context)
                yield span, bid
        for span in self._window(window, times, root, allocated):
            yield span, None

    def _message(
        self,
        window: Settlement,
        times: WindowTimes,
        traced: Traced,
        ranks: Ranks,
        root: SpanContext,
    ) -> Iterator[tuple[ReadableSpan, Bid | None]]:
        first, end = np.searchsorted(window.bids.seq, [traced.seq, traced.seq + 1]).tolist()
        sender = SpanContext(*traced.parent, is_remote=True, trace_flags=SAMPLED)
        process = self._context(traced.parent.trace_id, "process", traced.seq)
        attributes = self._message_attributes(window, traced.seq, first, end)
        yield (
            self._span(
                names.PROCESS,
                process,
                sender,
                (traced.read_ns, traced.judged_ns),
                attributes=attributes,
                kind=SpanKind.CONSUMER,
            ),
            None,
        )
        for row in range(first, min(end, first + BIDS_MAX)):
            bid = window.bids[row]
            allocate = self._context(traced.parent.trace_id, "allocate", bid.seq, bid.ord)
            attributes = self._bid_attributes(window, bid) | {
                names.WINDOW_TRACE: f"{root.trace_id:032x}",
                names.WINDOW_SPAN: f"{root.span_id:016x}",
            }
            if rank := ranks.of(row):
                attributes |= {names.RANK: rank.rank, names.RANKED: rank.bids}
            yield (
                self._span(
                    names.ALLOCATE,
                    allocate,
                    process,
                    (traced.judged_ns, times.settled_ns),
                    attributes=attributes,
                    links=[Link(root)],
                ),
                bid,
            )
            yield self._result(times, bid, allocate), None

    def _result(self, times: WindowTimes, bid: Bid, parent: SpanContext) -> ReadableSpan:
        context = self._context(parent.trace_id, "result", bid.seq, bid.ord)
        attributes = {
            **_messaging("send", "send"),
            names.MESSAGING_DESTINATION: f"result.{bid.market}.{bid.agent}",
            names.MESSAGING_TEMPLATE: "result.{market}.{agent}",
            names.STATUS: bid.status.value,
        }
        return self._span(
            names.RESULT,
            context,
            parent,
            (times.publishing_ns, times.published_ns),
            attributes=attributes,
            kind=SpanKind.PRODUCER,
        )

    def _window(
        self,
        window: Settlement,
        times: WindowTimes,
        root: SpanContext,
        allocated: Sequence[SpanContext],
    ) -> Iterator[ReadableSpan]:
        linked = allocated[:LINKS_MAX]
        attributes = {
            names.SHARD: self.shard,
            names.WINDOW_ID: window.window_id,
            names.DIGEST: window.digest.hex(),
            names.BIDS: len(window.bids),
            names.BID_TRACES: sorted({f"{each.trace_id:032x}" for each in linked}),
        }
        whole = times.began_ns, times.published_ns
        links = list(map(Link, linked))
        yield self._span(names.WINDOW, root, None, whole, attributes=attributes, links=links)
        steps = {
            names.CLEAR: (times.clearing_ns, times.settled_ns),
            names.COMMIT: (times.committing_ns, times.committed_ns),
            names.PUBLISH: (times.publishing_ns, times.published_ns),
        }
        for name, span_times in steps.items():
            context = self._context(root.trace_id, name, window.window_id)
            yield self._span(name, context, root, span_times, attributes={names.SHARD: self.shard})

    def _message_attributes(
        self, window: Settlement, seq: int, first: int, end: int
    ) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            **_messaging("process", "process"),
            names.MESSAGING_TEMPLATE: "market.{market}.bid.{agent}",
            names.MESSAGING_BATCH: end - first,
            names.MESSAGING_MESSAGE_ID: f"{self.shard}-{seq}",
            names.SHARD: self.shard,
            names.SEQ: seq,
        }
        if end > first:
            market, agent = window.bids.names.accounts[window.bids.account[first]]
            attributes[names.MESSAGING_DESTINATION] = f"market.{market}.bid.{agent}"
        if any(letter.seq == seq for letter in window.dead_letters):
            attributes |= {names.REASON: "malformed", names.KEEP: True}
        return attributes

    def _bid_attributes(self, window: Settlement, bid: Bid) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            names.MARKET: bid.market,
            names.AGENT: bid.agent,
            names.EVENT_ID: bid.event_id,
            names.SHARD: self.shard,
            names.SEQ: bid.seq,
            names.ORD: bid.ord,
            names.WINDOW_ID: window.window_id,
            names.STATUS: bid.status.value,
            names.LIMIT: str(bid.limit_micros),
            names.PAID: bid.paid_micros,
        }
        if bid.reason is not None:
            attributes |= {names.REASON: bid.reason.value, names.KEEP: True}
        attributes |= {names.ASKED + resource: units for resource, units in bid.demand.items()}
        attributes |= {names.WON + resource: units for resource, units in bid.allocation.items()}
        return attributes | _levels(window, bid)

    def _context(self, trace: int, *place: object) -> SpanContext:
        return SpanContext(trace, span_id(self.log, *place), is_remote=False, trace_flags=SAMPLED)

    def _span(  # noqa: PLR0913 - the parts of a span
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        times_ns: tuple[int, int],
        *,
        attributes: Mapping[str, Any],
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
    ) -> ReadableSpan:
        return ReadableSpan(
            name=name,
            context=context,
            parent=parent,
            resource=self.resource,
            attributes=attributes,
            links=links,
            kind=kind,
            instrumentation_scope=InstrumentationScope(names.SCOPE),
            start_time=times_ns[0],
            end_time=max(times_ns),
        )


def _messaging(name: str, operation: str) -> dict[str, str]:
    return {
        names.MESSAGING_SYSTEM: names.NATS,
        names.MESSAGING_OPERATION: name,
        names.MESSAGING_OPERATION_TYPE: operation,
    }


def _levels(window: Settlement, bid: Bid) -> dict[str, int]:
    """The prices per unit, in micros, of what the bid asks: cleared at, and the reference."""
    levels = {}
    for price in window.prices:
        if price.market == bid.market and price.resource in bid.demand:
            levels[names.REFERENCE + price.resource] = price.reference_micros
            if price.clearing_micros is not None:
                levels[names.LEVEL + price.resource] = price.clearing_micros
    return levels
