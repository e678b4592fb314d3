"""Faults on purpose: at a named point of a window's way a process dies, stands still or is cut off.

A failpoint is written `point:action@nth`: the n-th time that the point is reached, the process
kills itself, stops itself like a machine that went to sleep, or loses all its connections.
Promise: all is put around the steps of a `Worker` from outside; the deployment knows none of it.
"""

import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial, partialmethod
from itertools import count
from pathlib import Path
from socket import SHUT_RDWR, socket
from typing import Any, Final, Self

import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from psycopg import Connection, Copy, Cursor
from typing_extensions import override

from connectors.nats.results_publisher import ResultsPublisher
from connectors.postgres.connection import connect
from flows import allocation
from flows.runtime.worker import Worker
from operators.keyed import BuildStep, Step, V, W
from state.window import OutboundMessage

POINTS: Final = (
    "pull",  # messages were read
    "decode",  # and decoded
    "admit",  # and judged, their window still open
    "close",  # a window is closed and settled
    "begin",  # its transaction has begun
    "lock",  # and holds the shard's row
    "copy.account",  # in the middle of each table's COPY
    "copy.resource_name",
    "balances",  # balances are updated
    "copy.bid",
    "copy.bid_bundle",
    "copy.command",
    "copy.dead_letter",
    "copy.market_window",
    "copy.price",
    "window",  # the window's own row is written
    "commit.before",  # all is written
    "commit.after",  # and committed
    "publish.before",  # nothing of the window has left
    "publish.live",  # the results of agents have, and no window of a market
    "publish.after",  # the windows of markets are acknowledged
    "next",  # the window is through, the next one comes
)
FORM: Final = re.compile(
    r"(?P<point>[a-z._]+):(?P<action>kill|pause|cut)(?:@(?P<nth>[1-9][0-9]*))?"
)
SOCKET: Final = "socket:"

# The statements that show how far a transaction is, by what stands in them and in no other.
BEFORE: Final = {"SELECT shard, token": "begin"}
AFTER: Final = {
    "SELECT shard, token": "lock",
    "SET balance_micros = moved.micros": "balances",
    'INSERT INTO ledger."window"': "window",
    "UPDATE ledger.shard SET next_seq": "commit.before",
}
COPY: Final = re.compile(r"COPY ledger\.(\w+)")

Reach = Callable[[str], None]
Logic = StatefulBatchLogic[Any, Any, Any]
Work = Callable[[Any], list[Any]]
Observe = Callable[[Work, Any], list[Any]]
PublishWindows = Callable[[ResultsPublisher, Sequence[OutboundMessage]], None]


def worker_that_reports(reach: Reach, patch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """What makes a worker that calls `reach` with each point that it reaches."""
    observed = partialmethod(_observed_publishing, ResultsPublisher.publish_durable, reach)
    patch.setattr(ResultsPublisher, "publish_durable", observed)
    return partial(
        Worker,
        connect=lambda dsn: _observed_connection(connect(dsn), reach),
        build=partial(_build, reach),
    )


def worker_with(failpoint: str | None, patch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """What makes a worker with this fault, or one without."""
    return worker_that_reports(Fault.of(failpoint).reach, patch) if failpoint else Worker


def _observed_publishing(
    publisher: ResultsPublisher,
    publish: PublishWindows,
    reach: Reach,
    windows: Sequence[OutboundMessage],
) -> None:
    reach("publish.live")
    publish(publisher, windows)
    reach("publish.after")


def _build(
    reach: Reach, *, commit: BuildStep[Any, Any], publish: BuildStep[Any, Any], **rest: Any
) -> Dataflow:
    flow = allocation.build(
        commit=_around(commit, reach, after="commit.after"),
        publish=_around(publish, reach, before="publish.before", after="next"),
        **rest,
    )
    return _observed(flow, reach)


class Fault:
    """One fault, which happens once."""

    def __init__(self, point: str, action: Callable[[], None], *, nth: int) -> None:
        self._point = point
        self._action = action
        self._nth = nth
        self._reached = count(1)

    @classmethod
    def of(cls, text: str) -> "Fault":
        """The fault that a text names; one that nobody knows would test nothing."""
        parts = FORM.fullmatch(text)
        assert parts is not None, f"no failpoint: {text}"
        assert parts["point"] in POINTS, f"no such point: {text}"
        return cls(parts["point"], ACTIONS[parts["action"]], nth=int(parts["nth"] or 1))

    def reach(self, point: str) -> None:
        """Be at a point; at the n-th time of the one it is, the fault happens."""
        if point == self._point and next(self._reached) == self._nth:
            self._action()


def kill() -> None:
    """Die as the kernel ends a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def pause() -> None:
    """Stand still, all threads, until somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def cut() -> None:
    """Lose every connection to a server, as when a cable is pulled and put in again."""
    for link in Path("/proc/self/fd").iterdir():
        # A file that was closed meanwhile, or a socket that leads nowhere, is none of ours.
        with suppress(OSError):
            if str(link.readlink()).startswith(SOCKET):
                with socket(fileno=os.dup(int(link.name))) as line:
                    if line.getpeername():
                        line.shutdown(SHUT_RDWR)


ACTIONS: Final = {"kill": kill, "pause": pause, "cut": cut}


def _around(
    build: BuildStep[V, W], reach: Reach, *, after: str, before: str | None = None
) -> BuildStep[V, W]:
    def build_step(shard: int) -> Step[V, W]:
        step = build(shard)

        def observed(value: V) -> Iterable[W]:
            if before:
                reach(before)
            done = list(step(value))
            reach(after)
            return done

        return observed

    return build_step


class _Observed(StatefulBatchLogic[Any, Any, Any]):
    """A logic that takes value by value, so that there is a point before and after each."""

    def __init__(self, logic: Logic, observe: Observe) -> None:
        self._logic = logic
        self._observe = observe

    @override
    def on_batch(self, values: list[Any]) -> tuple[Iterable[Any], bool]:
        return [out for value in values for out in self._observe(self._work, value)], self.RETAIN

    @override
    def snapshot(self) -> None:
        return None

    def _work(self, value: Any) -> list[Any]:
        return list(self._logic.on_batch([value])[0])


def _observed(flow: Dataflow, reach: Reach) -> Dataflow:
    """The flow with points at the doors of the steps that reach no server."""

    def pulled(work: Work, value: Any) -> list[Any]:
        reach("pull")
        return work(value)

    def decoded(work: Work, value: Any) -> list[Any]:
        reach("decode")
        return work(value)

    def judged(work: Work, value: Any) -> list[Any]:
        closed = work(value)
        reach("close" if closed else "admit")
        return closed

    observers = {"windows": pulled, "join_prices": decoded, "allocate": judged}
    for place, step in enumerate(flow.substeps):
        if observe := observers.get(step.step_name):
            flow.substeps[place] = _with_observer(step, observe)
    return flow


def _with_observer(step: Any, observe: Observe) -> Any:
    return replace(step, builder=lambda state: _Observed(step.builder(state), observe))


def _observed_connection(conn: Connection, reach: Reach) -> Connection:
    """The connection with points before and after the statements of a window's transaction."""

    class Observed(Cursor[Any]):
        @override
        def execute(self, query: Any, *values: Any, **how: Any) -> Self:
            text = " ".join(str(query).split())
            _reach_at(text, BEFORE, reach)
            super().execute(query, *values, **how)
            _reach_at(text, AFTER, reach)
            return self

        @override
        @contextmanager
        def copy(self, statement: Any, *values: Any, **how: Any) -> Iterator[Copy]:
            table = COPY.match(str(statement))
            with super().copy(statement, *values, **how) as rows:
                yield rows
                if table:
                    reach(f"copy.{table[1]}")

    conn.cursor_factory = Observed
    return conn


def _reach_at(text: str, points: Mapping[str, str], reach: Reach) -> None:
    for part, point in points.items():
        if part in text:
            reach(point)
