"""The deployment's own flow with a clock around its commits.

Promise: it is the deployment's `Worker`; nothing of the life of a bid is left out or replaced.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
from bytewax.dataflow import Dataflow

from connectors.nats.source import NatsSource
from flows import allocation
from flows.runtime.servers import Servers
from flows.runtime.supervisor import Task, claim_shards
from flows.runtime.worker import Worker
from operators.keyed import BatchSink, BuildStep, Step
from state.bids import LOST
from state.window import ClosedWindow, Settlement

SHARD: Final = 0

OnCommit = Callable[[Settlement], None]


def _nothing(_window: Settlement) -> None:
    """For a run that only counts."""


def _commands_in(window: Settlement) -> int:
    return len(window.bids) + len(window.commands) + len(window.dead_letters)


@dataclass(slots=True)
class Course:
    """A run as its windows are committed and published."""

    on_commit: OnCommit = _nothing
    """Called after each window's transaction, in the thread of the commits."""
    began_s: float = 0.0
    commands: int = 0
    bids: int = 0
    lost: int = 0
    digest: str = ""
    commit_s: list[float] = field(default_factory=list)
    progress: list[tuple[float, int]] = field(default_factory=list)
    """After each commit: seconds since the start, commands so far."""

    def add(self, windows: Iterable[ClosedWindow]) -> None:
        """Count windows that are committed and published."""
        for window in windows:
            if isinstance(window, Settlement):
                self._add(window)

    def _add(self, window: Settlement) -> None:
        self.commands += _commands_in(window)
        self.bids += len(window.bids)
        self.lost += int(np.count_nonzero(window.bids.status == LOST))
        self.digest = window.digest.hex()

    def timed(
        self, commit: BuildStep[ClosedWindow, ClosedWindow]
    ) -> BuildStep[ClosedWindow, ClosedWindow]:
        """The commit step with a clock around each window's transaction."""

        def build_timed(shard: int) -> Step[ClosedWindow, ClosedWindow]:
            return partial(self._commit, commit(shard))

        return build_timed

    def _commit(
        self, commit: Step[ClosedWindow, ClosedWindow], window: ClosedWindow
    ) -> Iterable[ClosedWindow]:
        began = time.perf_counter()
        done = list(commit(window))
        if isinstance(window, Settlement):
            now = time.perf_counter()
            self.commit_s.append(now - began)
            before = self.progress[-1][1] if self.progress else 0
            self.progress.append((now - self.began_s, before + _commands_in(window)))
            self.on_commit(window)
        return done


def claim(servers: Servers, *, window_ms: int) -> Worker:
    """Claim the shard of the testbed's log."""
    return claim_shards(Task(servers=servers, shards=(SHARD,), window_ms=window_ms), {})


def settle_opening(servers: Servers, *, window_ms: int, opened_seq: int) -> None:
    """Settle the market's opening and the grants, which are no part of what is measured."""
    run(claim(servers, window_ms=window_ms), Course(), last_seq=opened_seq)


def run(
    worker: Worker,
    course: Course,
    *,
    last_seq: int | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run the worker's flow up to `last_seq`, or until `stop` is set."""

    def build(
        *, source: NatsSource, commit: BuildStep[ClosedWindow, ClosedWindow], **rest: Any
    ) -> Dataflow:
        until = None if last_seq is None else {SHARD: last_seq}
        flow = allocation.build(
            **rest | {"output": BatchSink(course.add)},
            source=replace(source, until=until),
            commit=course.timed(commit),
        )
        course.began_s = time.perf_counter()
        return flow

    replace(worker, build=build).run(stop or threading.Event())
