"""What is hurt, and how each kind of fault is done to it and undone.

Promise: a fault that was undone leaves servers that run, on the same files and the same ports; what
is reached past the lines (`ServerPair.servers`) is hurt only by what is done to the servers.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from tests.chaos.schedule import TERMS, Fault, Kind, Storm
from tests.chaos.workers import Supervisor
from tests.crash.server_pair import ServerPair
from tests.support.proxy import FaultProxy
from walras_client.nats.jetstream import NS_PER_S

LOOK_AGAIN_S: Final = 0.05
READY_WITHIN_S: Final = 120.0

Edge = tuple[float, int, Fault]
"""When a fault begins or ends next, and its place in the storm."""


@dataclass(frozen=True, slots=True)
class World:
    """Servers, the lines that everybody but the watchers reaches them by, and the workers."""

    pair: ServerPair
    to_broker: FaultProxy
    to_database: FaultProxy
    workers: Supervisor


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that was done, in the time of the wall."""

    kind: Kind
    began_ns: int
    ended_ns: int


def ride(world: World, storm: Storm) -> list[Injected]:
    """Do all faults of a storm, each at its time or as soon after as the others let it.

    A worker is hurt when it is at work; until then its fault waits, and no other does.
    """
    began_s = time.monotonic()
    edges: list[Edge] = [(fault.at_s, number, fault) for number, fault in enumerate(storm)]
    running: dict[Fault, tuple[int, ExitStack]] = {}
    done: list[Injected] = []
    with ExitStack() as left_over:
        while edges:
            at_s, number, fault = heappop(edges)
            time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            if fault in running:
                began_ns, undo = running.pop(fault)
                undo.close()
                done.append(Injected(fault.kind, began_ns, time.time_ns()))
            elif TERMS[fault.kind].target == "worker" and not world.workers.current.at_work:
                assert at_s < fault.at_s + READY_WITHIN_S, "no worker came to work"
                heappush(edges, (at_s + LOOK_AGAIN_S, number, fault))
            else:
                undo = left_over.enter_context(ExitStack())
                running[fault] = time.time_ns(), undo
                undo.enter_context(FAULTS[fault.kind](world))
                heappush(edges, (at_s + fault.lasting_s, number, fault))
    return done


@contextmanager
def _killed(world: World, server: str) -> Iterator[None]:
    places = world.pair.servers
    world.pair.kill(server)
    try:
        yield
    finally:
        world.pair.start(server)
        assert places == world.pair.servers, "the lines lead to where it was"


@contextmanager
def _worker_killed_twice(world: World) -> Iterator[None]:
    world.workers.kill()
    try:
        yield
    finally:
        world.workers.kill()


@contextmanager
def _once(act: Callable[[], None]) -> Iterator[None]:
    act()
    yield


FAULTS: Final[Mapping[Kind, Callable[[World], AbstractContextManager[None]]]] = {
    Kind.WORKER_KILL: lambda world: _once(world.workers.kill),
    Kind.WORKER_KILL_TWICE: _worker_killed_twice,
    Kind.WORKER_SLEEP: lambda world: world.workers.asleep(),
    Kind.WORKER_REPLACED: lambda world: world.workers.replaced(),
    Kind.WORKER_RESTART: lambda world: _once(world.workers.restart),
    Kind.BROKER_KILL: lambda world: _killed(world, "nats"),
    Kind.BROKER_SLEEP: lambda world: world.pair.frozen("nats"),
    Kind.BROKER_RESET: lambda world: _once(world.to_broker.reset),
    Kind.BROKER_STALL: lambda world: world.to_broker.holding(),
    Kind.BROKER_HOLE: lambda world: world.to_broker.swallowing(),
    Kind.DATABASE_KILL: lambda world: _killed(world, "postgres"),
    Kind.DATABASE_SLEEP: lambda world: world.pair.frozen("postgres"),
    Kind.DATABASE_RESET: lambda world: _once(world.to_database.reset),
    Kind.DATABASE_STALL: lambda world: world.to_database.holding(),
    Kind.DATABASE_HOLE: lambda world: world.to_database.swallowing(),
}


def alone(fault: Injected, until_ns: int, others: list[Injected]) -> bool:
    """Whether nothing else was hurt from shortly before a fault until a moment after it."""
    return not any(
        other.began_ns <= until_ns and other.ended_ns + NS_PER_S >= fault.began_ns
        for other in others
        if other is not fault
    )
