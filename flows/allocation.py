"""The life of a bid: from the log of each shard to committed windows and published results.

Everything is handed in, so that the same route runs on a live stream, on a log file and in a test
without any server. Items are `(shard, value)` pairs; the type of a value is noted beside each step.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink

from operators.allocate import Allocate
from operators.decode import decode
from operators.join_prices import JoinPrices
from operators.keyed import BuildStep, KeyedStep, OrderedAsyncStep, V, W
from operators.windows import WindowAssigner
from state.log import RawBatch
from state.shard import ShardState
from state.window import ClosedWindow

B = TypeVar("B")


class Watched(Protocol):
    """Puts something around the builder of a step, by the step's id; or gives it back as it is."""

    def __call__(self, step_id: str, build_step: B, /) -> B: ...


def unwatched(_step_id: str, build_step: B, /) -> B:
    """The builder as it is."""
    return build_step


def build(  # noqa: PLR0913  # everything is handed in, by name
    *,
    source: FixedPartitionedSource[tuple[str, RawBatch], Any],
    shards: Mapping[int, ShardState],
    window_ms: int,
    commit: BuildStep[ClosedWindow, ClosedWindow],
    publish: BuildStep[ClosedWindow, ClosedWindow],
    output: Sink[tuple[str, ClosedWindow]],
    watched: Watched = unwatched,
) -> Dataflow:
    """The dataflow over `shards`, which were claimed before and say where each resumes.

    `commit` builds the step that writes a shard's windows to the ledger, `publish` the one that
    publishes its results; `output` sees each window when all is done. `watched` observes steps.
    """
    flow = Dataflow("allocation")
    raw = op.input("nats_in", flow, source)  # RawBatch
    cut = _step("windows", raw, lambda shard: _cutter(shards[shard], window_ms))  # WindowSlice
    decoded = op.map_value("decode", cut, decode)  # EventSlice
    priced = _step("join_prices", decoded, lambda s: JoinPrices(shards[s].listings))  # PricedSlice
    allocate = watched("allocate", lambda shard: Allocate(shards[shard].accounts))
    closed = _step("allocate", priced, allocate)  # ClosedWindow
    committed = _waiting_step("commit", closed, watched("commit", commit))  # ClosedWindow
    published = _waiting_step("publish", committed, watched("publish", publish))  # ClosedWindow
    op.output("done", published, output)
    return flow


def _step(step_id: str, up: KeyedStream[V], build_step: BuildStep[V, W]) -> KeyedStream[W]:
    return op.stateful_batch(
        step_id, up, lambda _resume: KeyedStep(lambda first: build_step(first.shard))
    )


def _waiting_step(step_id: str, up: KeyedStream[V], build_step: BuildStep[V, W]) -> KeyedStream[W]:
    return op.stateful_batch(
        step_id, up, lambda _resume: OrderedAsyncStep(lambda first: build_step(first.shard))
    )


def _cutter(shard: ShardState, window_ms: int) -> WindowAssigner:
    return WindowAssigner(window_ms, shard.position.stream_time_ns)
