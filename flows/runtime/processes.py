"""The flow in several processes, each over its own shards and with nothing shared between them.

Promise: the end of one process stops no other. One that crashes is started again with growing
pauses; one that ends for a reason that a restart does not heal, such as another worker that has
claimed its shard, stays ended. The deployment ends when all have ended or when it is stopped, with
the error of the process that failed first.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Final, Protocol

from flows.runtime.child_process import OnReady, Process, keep_running
from state.errors import WalrasError

ERRORS: Final = {kind.exit_code: kind for kind in WalrasError.__subclasses__()}
"""What a process may end with for good; anything else is a crash."""

log = logging.getLogger(__name__)


class Start(Protocol):
    """Starts a process, and calls `on_ready` when it has claimed its shards."""

    def __call__(self, *, on_ready: OnReady) -> Process: ...


@dataclass(frozen=True, slots=True)
class _Startup:
    """Whether a process has claimed its shards, and whether that is decided."""

    claimed: threading.Event = field(default_factory=threading.Event)
    decided: threading.Event = field(default_factory=threading.Event)

    def on_ready(self) -> None:
        """It has claimed them."""
        self.claimed.set()
        self.decided.set()


def run_processes(starts: Sequence[Start], stop: threading.Event, *, ready: OnReady) -> None:
    """Run the processes until `stop` is set or all have ended; raise what the first failed with.

    `ready` is called once, when each has claimed its shards or has ended without.
    """
    startups = [_Startup() for _ in starts]
    with ThreadPoolExecutor(len(starts)) as threads:
        running = [
            threads.submit(_keep, number, start, startup, stop)
            for number, (start, startup) in enumerate(zip(starts, startups, strict=True))
        ]
        try:
            for startup in startups:
                startup.decided.wait()
            if any(startup.claimed.is_set() for startup in startups):
                ready()
            first = _first_failure(running)
        except BaseException:
            stop.set()  # or the end of the block waits for the processes for ever
            raise
    if first is not None:
        raise _ended(*first)


def _keep(number: int, start: Start, startup: _Startup, stop: threading.Event) -> int:
    """Keep one process running; the exit code that it ended with in the end."""
    name = f"process {number} of the flow"
    try:
        code = keep_running(
            lambda: start(on_ready=startup.on_ready), stop, name=name, final_codes=ERRORS
        )
    finally:
        startup.decided.set()
    if code:
        log.error("%s ended with exit code %d", name, code)
    return code


def _first_failure(running: Sequence[Future[int]]) -> tuple[int, int] | None:
    """The first process to end with an error and its exit code, once all have ended."""
    numbers = {each: number for number, each in enumerate(running)}
    codes = {numbers[each]: each.result() for each in as_completed(running)}
    return next(((number, code) for number, code in codes.items() if code), None)


def _ended(number: int, code: int) -> WalrasError:
    return ERRORS.get(code, WalrasError)(
        "a process of the flow has failed",
        detail=f"process {number} ended with exit code {code}",
        hint="Its own message is above",
    )
