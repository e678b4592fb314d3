"""How a run of the flow ends: nothing that waits for a silent server may hold it up.

Promise: a stop lets what is under way finish for `GRACE_S`, a failure for no time at all; then
whoever waits for a server is let go. Nothing is lost by that: the ledger says where to read on.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from operators.keyed import BuildStep, Step, V, W
from state.errors import ServerUnreachable, WalrasError

GRACE_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.1

log = logging.getLogger(__name__)


class Waiting(Protocol):
    """What waits for a server until it is closed."""

    def close(self) -> None:
        """Let all that wait go, with an error."""
        ...


@dataclass(slots=True)
class Ending:
    """The end of one run, whoever brings it about; the first failure is what ended it."""

    waiting: Sequence[Waiting]
    failure: BaseException | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def let_go(self) -> None:
        """From here on nobody waits for a server."""
        for each in self.waiting:
            each.close()

    def watched(self, build: BuildStep[V, W]) -> BuildStep[V, W]:
        """The same steps; where one fails, the others are let go and only its failure counts."""

        def build_step(shard: int) -> Step[V, W]:
            step = build(shard)
            return lambda value: self._step(step, value)

        return build_step

    def _step(self, step: Step[V, W], value: V) -> Iterable[W]:
        try:
            return list(step(value))
        except BaseException as failure:
            self.failure = self.failure or failure
            self.let_go()
            raise

    def await_stop(self, stop: threading.Event) -> None:
        """Let go a while after the stop, unless the run is over by then."""
        while not stop.wait(LOOK_AGAIN_S):
            if self.over.is_set():
                return
        if not self.over.wait(GRACE_S):
            self.let_go()


@contextmanager
def ending(stop: threading.Event, waiting: Sequence[Waiting]) -> Iterator[Ending]:
    """Run the flow as the block; a server that is silent when `stop` is set is no failure of it."""
    end = Ending(waiting)
    watch: Callable[[], None] = lambda: end.await_stop(stop)  # noqa: E731
    threading.Thread(target=watch, name="ending", daemon=True).start()
    try:
        yield end
    except WalrasError as failure:
        first = end.failure or failure
        if not (stop.is_set() and isinstance(first, ServerUnreachable)):
            raise first from failure
        log.warning("stopped without waiting for a server: %s", first)
    finally:
        end.over.set()
