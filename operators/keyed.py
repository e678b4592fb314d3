"""The only file of the operators that knows Bytewax: steps that hold state, and the last step.

Promise: the items of a key (a shard or a market) reach its step one by one, in order, in whatever
batches they travel. State is not snapshotted here: the ledger is the checkpoint (docs/adr/0002).
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

AHEAD: Final = 2
POLL_INTERVAL: Final = timedelta(milliseconds=2)


class OfShard(Protocol):
    """Anything that travels between the steps knows its shard."""

    @property
    def shard(self) -> int:
        """The shard that the item belongs to."""
        ...


T = TypeVar("T")
V = TypeVar("V", bound=OfShard)
W = TypeVar("W")

Step = Callable[[T], Iterable[W]]
BuildStep = Callable[[int], Step[V, W]]
"""From a shard to the step that holds its state."""


class KeyedStep(StatefulBatchLogic[T, W, None]):
    """Holds the step of one key; `build` makes it at the key's first item, and it is kept."""

    def __init__(self, build: Callable[[T], Step[T, W]]) -> None:
        self._build = build
        self._step: Step[T, W] | None = None

    @override
    def on_batch(self, values: list[T]) -> tuple[Iterable[W], bool]:
        step = self._step = self._step or self._build(values[0])
        return [out for value in values for out in step(value)], self.RETAIN

    @override
    def snapshot(self) -> None:
        return None


class OrderedAsyncStep(StatefulBatchLogic[T, W, None]):
    """Holds a step that waits for a server, and runs it while the flow continues.

    Promise: the items of a key are worked on one by one, in order, in one thread of their own, and
    leave in that order when they are done; no more than `AHEAD` are under way at a time, then the
    flow waits too. A failure stops the flow at the next item or poll, and nothing that came after
    it is begun: were a later window's results marked as published, nobody would publish those of
    the failed one.
    """

    def __init__(self, build: Callable[[T], Step[T, W]]) -> None:
        self._build = build
        self._step: Step[T, W] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._running: deque[Future[list[W]]] = deque()
        self._failed = False

    @override
    def on_batch(self, values: list[T]) -> tuple[Iterable[W], bool]:
        step = self._step = self._step or self._build(values[0])
        done: list[W] = []
        for value in values:
            while len(self._running) >= AHEAD:
                done += self._running.popleft().result()
            self._running.append(self._thread.submit(self._run, step, value))
        return done + self._finished(), self.RETAIN

    @override
    def on_notify(self) -> tuple[Iterable[W], bool]:
        return self._finished(), self.RETAIN

    @override
    def on_eof(self) -> tuple[Iterable[W], bool]:
        left = [out for running in self._running for out in running.result()]
        self._running.clear()
        self._thread.shutdown()
        return left, self.RETAIN

    @override
    def notify_at(self) -> datetime | None:
        return datetime.now(UTC) + POLL_INTERVAL if self._running else None

    @override
    def snapshot(self) -> None:
        return None

    def _finished(self) -> list[W]:
        done: list[W] = []
        while self._running and self._running[0].done():
            done += self._running.popleft().result()
        return done

    def _run(self, step: Step[T, W], value: T) -> list[W]:
        if self._failed:
            raise CancelledError
        try:
            return list(step(value))
        except BaseException:
            self._failed = True
            raise


class BatchSink(DynamicSink[tuple[str, T]]):
    """The last step: `consume` gets the items, without their keys, as many at once as come."""

    def __init__(self, consume: Callable[[Sequence[T]], None]) -> None:
        self._consume = consume

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_BatchSinkPartition[T]":
        return _BatchSinkPartition(self._consume)


class _BatchSinkPartition(StatelessSinkPartition[tuple[str, T]]):
    def __init__(self, consume: Callable[[Sequence[T]], None]) -> None:
        self._consume = consume

    @override
    def write_batch(self, items: list[tuple[str, T]]) -> None:
        self._consume([value for _key, value in items])
