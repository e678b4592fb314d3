"""Which worker takes which shard.

The engine places what it keys by a hash of the key. Of few keys that leaves workers idle: the names
"0" to "3" all fall to one of two. So each shard gets a key that the engine has placed, in a flow of
a moment, where the source reads the shard. Promise: the shards go round the workers, every process
of a flow finds the same keys, and what is read of a shard never travels to another process.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, cluster_main
from typing_extensions import override

SPARE: Final = 20
"""So many more keys are tried for each worker than would do if a hash were fair."""

Keyed = tuple[str, None]


def keys_of(shards: Iterable[int], *, workers: int) -> dict[int, str]:
    """The key of each shard for a flow with so many workers in all its processes."""
    in_order = sorted(shards)
    if workers == 1:
        return {shard: str(shard) for shard in in_order}
    tried = range(workers * (2 * len(in_order) // workers + SPARE))
    placed = defaultdict(list)
    for key, worker in sorted(_placed(map(str, tried), workers).items()):
        placed[worker].append(key)
    return {shard: placed[at % workers].pop() for at, shard in enumerate(in_order)}


def _placed(keys: Iterable[str], workers: int) -> dict[str, int]:
    """Key to the number of the worker that the engine gives it to."""
    where = _Where()
    flow = Dataflow("spread")
    items = op.input("keys", flow, TestingSource([(key, None) for key in keys]))
    kept = op.stateful_batch("keep", items, lambda _resume: _Kept())
    op.output("where", kept, where)
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    return where.found


class _Kept(StatefulBatchLogic[None, None, None]):
    """A step that only has to be somewhere."""

    @override
    def on_batch(self, values: list[None]) -> tuple[list[None], bool]:
        return values, self.DISCARD

    @override
    def snapshot(self) -> None:
        return None


class _Where(DynamicSink[Keyed]):
    """Notes at which worker a key comes out: nothing travels on the last way."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_At":
        return _At(self.found, worker_index)


class _At(StatelessSinkPartition[Keyed]):
    def __init__(self, found: dict[str, int], worker: int) -> None:
        self._found = found
        self._worker = worker

    @override
    def write_batch(self, items: list[Keyed]) -> None:
        self._found.update((key, self._worker) for key, _ in items)
