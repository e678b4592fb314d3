"""Watches the steps of a flow from outside: when each worked on a window, and what came of it.

Promise: no step knows of it and no outcome depends on it. A message that is not traced costs a
search in the bytes of its batch; what fails here is logged and never stops the flow. What is kept
at a time is bounded: of a flood of sampled messages the rest gets no spans and is counted.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol, TypeVar, cast

from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

from otel import names
from otel.metrics import NS_PER_S, STEP_LABEL, Metrics
from otel.propagation import Door, Parent
from otel.spans import SpanMaker, Traced, WindowTimes
from state.bids import Bid
from state.window import ClosedWindow, Settlement

WAITING_MAX: Final = 4096
"""Sampled messages of a shard that were read and not judged yet."""
WINDOW_MAX: Final = 256
"""Sampled messages of a window."""

log = logging.getLogger(__name__)

S = TypeVar("S")
Emit = Callable[[ReadableSpan], None]


class Messages(Protocol):
    """Messages of a log, a column of each part."""

    @property
    def seqs(self) -> Sequence[int]: ...
    @property
    def heads(self) -> Sequence[bytes]: ...


class Sliced(Protocol):
    """What `allocate` gets: a slice of a window, behind the terms in force."""

    @property
    def slice(self) -> Any: ...


@dataclass(slots=True)
class _Shard:
    """What of one shard is under way."""

    spans: SpanMaker
    waiting: deque[Traced] = field(default_factory=deque)
    open: WindowTimes | None = None
    closed: dict[int, WindowTimes] = field(default_factory=dict)


class Watch:
    """One run of the flow; a run that begins again begins with another."""

    def __init__(
        self,
        *,
        logs: Mapping[int, SpanMaker],
        metrics: Metrics | None,
        emit: Emit | None,
        door: Door,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._shards = {shard: _Shard(spans) for shard, spans in logs.items()}
        self._metrics = metrics
        self._emit = emit
        self._door = door
        self._clock_ns = clock_ns

    def on_messages(self, shard: int, messages: Messages) -> None:
        """Note which of the messages that were just read are traced."""
        sampled = self._door.sampled(messages.heads)
        if sampled:
            self._note(shard, [(messages.seqs[place], parent) for place, parent in sampled])

    def watched(self, step_id: str, build: S, /) -> S:
        """The builder of a step with a clock around it; other steps stay as they are."""
        watch = {"allocate": self._allocate, "commit": self._commit, "publish": self._publish}
        wrap = watch.get(step_id)
        if wrap is None:
            return build
        inner: Any = build
        return cast("S", lambda shard: wrap(shard, inner(shard)))

    def _note(self, shard: int, sampled: Sequence[tuple[int, Parent]]) -> None:
        waiting, now = self._shards[shard].waiting, self._clock_ns()
        room = max(0, WAITING_MAX - len(waiting))
        waiting.extend(Traced(seq, parent, now) for seq, parent in islice(sampled, room))
        self._drop(shard, len(sampled) - room)

    def _drop(self, shard: int, count: int) -> None:
        if self._metrics and count > 0:
            self._metrics.add(names.UNTRACED, count, {names.SHARD: shard})

    def _allocate(self, shard: int, step: Callable[[Any], Iterable[ClosedWindow]]) -> Any:
        state = self._shards[shard]

        def run(priced: Sliced) -> Iterable[ClosedWindow]:
            began_ns = self._clock_ns()
            times = state.open = state.open or WindowTimes(began_ns)
            closed = list(step(priced))
            now_ns = self._clock_ns()
            if state.waiting:
                self._take(shard, times, next_seq=priced.slice.next_seq, now_ns=now_ns)
            for window in closed:
                times.clearing_ns, times.settled_ns = began_ns, now_ns
                state.closed[window.window_id] = times
                state.open = None
                self._observe(shard, "allocate", now_ns - began_ns)
            return closed

        return run

    def _take(self, shard: int, times: WindowTimes, *, next_seq: int, now_ns: int) -> None:
        """The waiting messages that were just judged belong to the open window."""
        waiting = self._shards[shard].waiting
        dropped = 0
        while waiting and waiting[0].seq < next_seq:
            traced = waiting.popleft()
            if len(times.traced) < WINDOW_MAX:
                times.traced.append(traced._replace(judged_ns=now_ns))
            else:
                dropped += 1
        self._drop(shard, dropped)

    def _commit(self, shard: int, step: Callable[[Any], Iterable[ClosedWindow]]) -> Any:
        closed = self._shards[shard].closed

        def run(window: ClosedWindow) -> Iterable[ClosedWindow]:
            times = closed[window.window_id]
            times.committing_ns = self._clock_ns()
            done = list(step(window))
            times.committed_ns = self._clock_ns()
            self._observe(shard, "commit", times.committed_ns - times.committing_ns)
            return done

        return run

    def _publish(self, shard: int, step: Callable[[Any], Iterable[ClosedWindow]]) -> Any:
        closed = self._shards[shard].closed

        def run(window: ClosedWindow) -> Iterable[ClosedWindow]:
            times = closed[window.window_id]
            times.publishing_ns = self._clock_ns()
            done = list(step(window))
            times.published_ns = self._clock_ns()
            self._observe(shard, "publish", times.published_ns - times.publishing_ns)
            del closed[window.window_id]
            self._report(shard, window, times)
            return done

        return run

    def _report(self, shard: int, window: ClosedWindow, times: WindowTimes) -> None:
        if not isinstance(window, Settlement):
            return
        try:
            if self._metrics:
                self._metrics.add_window(window, published_ns=times.published_ns)
            if self._emit and times.traced:
                self._emit_spans(self._emit, self._shards[shard].spans, window, times)
        except Exception:
            log.exception("telemetry of shard %d, window %d is lost", shard, window.window_id)

    def _emit_spans(
        self, emit: Emit, spans: SpanMaker, window: Settlement, times: WindowTimes
    ) -> None:
        for span, bid in spans.of(window, times):
            emit(span)
            if bid is not None and log.isEnabledFor(logging.DEBUG):
                _log_bid(span, bid, window)
        if self._metrics:
            shard = {names.SHARD: window.shard}
            self._metrics.add(names.SAMPLED, len(times.traced), shard)

    def _observe(self, shard: int, step: str, duration_ns: int) -> None:
        if self._metrics:
            labels = {names.SHARD: shard, STEP_LABEL: step}
            self._metrics.observe(names.STEP, duration_ns / NS_PER_S, labels)


def _log_bid(span: ReadableSpan, bid: Bid, window: Settlement) -> None:
    """The outcome of a traced bid, logged inside its span."""
    around = span.context
    assert around is not None, "it was made with one"
    token = context.attach(set_span_in_context(NonRecordingSpan(around)))
    try:
        log.debug(
            "bid %s of %s in %s: %s",
            bid.event_id,
            bid.agent,
            bid.market,
            f"rejected, {bid.reason}" if bid.reason else bid.status.value,
            extra={
                "shard": window.shard,
                "window": window.window_id,
                "trace_id": f"{around.trace_id:032x}",
                "span_id": f"{around.span_id:016x}",
            },
        )
    finally:
        context.detach(token)
