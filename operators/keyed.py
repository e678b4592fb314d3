"""The Bytewax shells of the steps that hold state: a step is a callable built for its shard.

Promise: the items of a shard reach its step one by one, in order, in whatever batches they travel.
State is not snapshotted here: the ledger is the checkpoint (docs/adr/0002).
"""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override


class OfShard(Protocol):
    """Anything that travels between the steps knows its shard."""

    @property
    def shard(self) -> int:
        """The shard that the item belongs to."""
        ...


V = TypeVar("V", bound=OfShard)
W = TypeVar("W")

Step = Callable[[V], Iterable[W]]
BuildStep = Callable[[int], Step[V, W]]
"""From a shard to the step that holds its state."""


class PerShard(StatefulBatchLogic[V, W, None]):
    """Holds the step of one shard; built at the shard's first item, kept for ever."""

    def __init__(self, build: BuildStep[V, W]) -> None:
        self._build = build
        self._step: Step[V, W] | None = None

    @override
    def on_batch(self, values: list[V]) -> tuple[Iterable[W], bool]:
        step = self._step or self._build(values[0].shard)
        self._step = step
        return [out for value in values for out in step(value)], self.RETAIN

    @override
    def snapshot(self) -> None:
        return None


class PerShardSink(DynamicSink[tuple[str, V]]):
    """The last step, which passes nothing on: `build` gives each shard what consumes its items."""

    def __init__(self, build: Callable[[int], Callable[[V], None]]) -> None:
        self._build = build

    @override
    def build(
        self, step_id: str, worker_index: int, worker_count: int
    ) -> "_PerShardSinkPartition[V]":
        return _PerShardSinkPartition(self._build)


class _PerShardSinkPartition(StatelessSinkPartition[tuple[str, V]]):
    def __init__(self, build: Callable[[int], Callable[[V], None]]) -> None:
        self._build = build
        self._consumers: dict[int, Callable[[V], None]] = {}

    @override
    def write_batch(self, items: list[tuple[str, V]]) -> None:
        for _, value in items:
            if value.shard not in self._consumers:
                self._consumers[value.shard] = self._build(value.shard)
            self._consumers[value.shard](value)
