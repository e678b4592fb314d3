"""The Bytewax shell of a step that waits for the world: it works while the flow goes on.

Promise: the items of a shard are worked on one by one, in order, in one thread of their own, and
leave in that order when they are done; no more than `AHEAD` wait for the world at a time, then the
flow waits too. A failure stops the flow at the next item or look, and nothing that came after it is
begun: were a later window's results marked as out, nobody would tell those of the failed one.
"""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.operators import StatefulBatchLogic
from typing_extensions import override

from operators.keyed import BuildStep, Step, V, W

AHEAD: Final = 2
LOOK_AGAIN: Final = timedelta(milliseconds=2)


class Overlapped(StatefulBatchLogic[V, W, None]):
    """Holds the step of one shard and what it is busy with; built at the shard's first item."""

    def __init__(self, build: BuildStep[V, W]) -> None:
        self._build = build
        self._step: Step[V, W] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._busy: deque[Future[list[W]]] = deque()
        self._failed = False

    @override
    def on_batch(self, values: list[V]) -> tuple[Iterable[W], bool]:
        step = self._step = self._step or self._build(values[0].shard)
        done: list[W] = []
        for value in values:
            while len(self._busy) >= AHEAD:
                done += self._busy.popleft().result()
            self._busy.append(self._thread.submit(self._work, step, value))
        return done + self._finished(), self.RETAIN

    @override
    def on_notify(self) -> tuple[Iterable[W], bool]:
        return self._finished(), self.RETAIN

    @override
    def on_eof(self) -> tuple[Iterable[W], bool]:
        left = [out for busy in self._busy for out in busy.result()]
        self._busy.clear()
        self._thread.shutdown()
        return left, self.RETAIN

    @override
    def notify_at(self) -> datetime | None:
        return datetime.now(UTC) + LOOK_AGAIN if self._busy else None

    @override
    def snapshot(self) -> None:
        """Nothing: the ledger is the checkpoint."""

    def _finished(self) -> list[W]:
        done: list[W] = []
        while self._busy and self._busy[0].done():
            done += self._busy.popleft().result()
        return done

    def _work(self, step: Step[V, W], value: V) -> list[W]:
        if self._failed:
            raise CancelledError
        try:
            return list(step(value))
        except BaseException:
            self._failed = True
            raise
