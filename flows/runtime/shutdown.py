"""How a run of the flow ends: nothing that waits for a silent server may hold it up.

Promise: a stop lets what is under way finish for `GRACE_S`, a failure for no time at all; then all
waits for a server are cancelled. Nothing is lost by that: the ledger says where to read on.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from operators.keyed import BuildStep, Step, V, W
from state.errors import ServerUnreachable, WalrasError

GRACE_S: Final = 5.0
POLL_INTERVAL_S: Final = 0.1

log = logging.getLogger(__name__)


class Waiting(Protocol):
    """What waits for a server until it is closed."""

    def close(self) -> None:
        """End all waits with an error."""
        ...


@dataclass(slots=True)
class GracefulShutdown:
    """The end of one run, by a stop or by a failure, of which the first counts."""

    waiting: Sequence[Waiting]
    failure: BaseException | None = None
    finished: threading.Event = field(default_factory=threading.Event)

    def cancel_waits(self) -> None:
        """From here on nobody waits for a server."""
        for each in self.waiting:
            each.close()

    def guarded(self, build: BuildStep[V, W]) -> BuildStep[V, W]:
        """The same steps; when one fails, the waits of the others end and its failure counts."""

        def build_step(shard: int) -> Step[V, W]:
            step = build(shard)
            return lambda value: self._step(step, value)

        return build_step

    def _step(self, step: Step[V, W], value: V) -> Iterable[W]:
        try:
            return list(step(value))
        except BaseException as failure:
            self.failure = self.failure or failure
            self.cancel_waits()
            raise

    def await_stop(self, stop: threading.Event) -> None:
        """Cancel the waits a while after the stop, unless the run has finished by then."""
        while not stop.wait(POLL_INTERVAL_S):
            if self.finished.is_set():
                return
        if not self.finished.wait(GRACE_S):
            self.cancel_waits()


@contextmanager
def graceful_shutdown(
    stop: threading.Event, waiting: Sequence[Waiting]
) -> Iterator[GracefulShutdown]:
    """Run the flow as the block; a server that is silent when `stop` is set is no failure of it."""
    shutdown = GracefulShutdown(waiting)
    threading.Thread(target=shutdown.await_stop, args=(stop,), name="shutdown", daemon=True).start()
    try:
        yield shutdown
    except WalrasError as failure:
        first = shutdown.failure or failure
        if not (stop.is_set() and isinstance(first, ServerUnreachable)):
            raise first from failure
        log.warning("stopped without waiting for a server: %s", first)
    finally:
        shutdown.finished.set()
