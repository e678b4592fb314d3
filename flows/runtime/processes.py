"""The flow in several processes on one machine: each runs the same steps, the shards are the keys.

Run as `python -m flows.runtime.processes` by the process that claimed the shards
(flows/runtime/child_process.py). Promise: the processes live and stop together, also when the first
of them is killed.
"""

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Final

import msgspec

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import resume
from flows.runtime import child_process as child
from flows.runtime.servers import Servers
from flows.runtime.worker import Place, Worker
from state.errors import WalrasError
from state.shard import ShardState, StreamIdentity, Token

LOOK_AGAIN_S: Final = 0.2


class Task(msgspec.Struct, frozen=True):
    """What one process of the cluster is told."""

    servers: Servers
    window_ms: int
    threads: int
    tokens: dict[int, int]
    positions: dict[int, int]
    identities: dict[int, StreamIdentity]
    process: int
    addresses: list[str]
    failpoint: str | None


class ResumedShards(Mapping[int, ShardState]):
    """The shards that the cluster claimed, each read from the ledger when a step asks for it.

    No window is committed before the first message of its shard has passed all steps, so that all
    steps of a shard see the same state, whichever processes they are in.
    """

    def __init__(self, postgres_dsn: str, tokens: Mapping[int, int]) -> None:
        self._postgres_dsn = postgres_dsn
        self._tokens = tokens
        self._resumed: dict[int, ShardState] = {}
        self._lock = threading.Lock()

    def __getitem__(self, shard: int) -> ShardState:
        with self._lock:
            if shard not in self._resumed:
                with connect(self._postgres_dsn) as connection:
                    token = Token(self._tokens[shard])
                    self._resumed[shard] = resume(connection, shard, token=token)
            return self._resumed[shard]

    def __iter__(self) -> Iterator[int]:
        return iter(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)


def run_cluster(worker: Worker, *, processes: int, stop: threading.Event) -> None:
    """Run the flow of `worker` in so many processes until `stop` is set or one of them ends."""
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(processes)]
    with ExitStack() as cleanup:
        running = []
        for number in range(processes):
            running.append(child.start(__name__, _task(worker, number, addresses)))
            cleanup.callback(child.end, running[-1])
        while not stop.wait(LOOK_AGAIN_S) and all(process.poll() is None for process in running):
            pass
        for process in running:
            child.ask_to_stop(process)
    codes = {at: process.returncode for at, process in enumerate(running) if process.returncode}
    if codes:
        raise _ended(codes)


def _task(worker: Worker, number: int, addresses: list[str]) -> Task:
    return Task(
        servers=worker.servers,
        window_ms=worker.window_ms,
        threads=worker.threads,
        tokens={shard: state.token for shard, state in worker.claims.items()},
        positions=dict(worker.positions),
        identities=dict(worker.identities),
        process=number,
        addresses=addresses,
        failpoint=worker.failpoint,
    )


def _ended(codes: Mapping[int, int]) -> WalrasError:
    """What one of them met in the world, rather than how its neighbours fell over its end."""
    kinds = {kind.exit_code: kind for kind in WalrasError.__subclasses__()}
    met = [kinds[code] for code in codes.values() if code in kinds]
    return (met or [WalrasError])[0](
        "a process of the flow ended, and the others with it",
        detail=", ".join(f"process {at} with exit code {code}" for at, code in codes.items()),
        hint="Their own messages stand above",
    )


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now; the processes find each other there."""
    with ExitStack() as sockets:
        probes = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _work(task: Task, stop: threading.Event) -> None:
    """Be one process of the cluster."""
    worker = Worker(
        servers=task.servers,
        window_ms=task.window_ms,
        threads=task.threads,
        claims=ResumedShards(task.servers.postgres_dsn, task.tokens),
        positions=task.positions,
        identities=task.identities,
        failpoint=task.failpoint,
    )
    worker.run(stop, Place(process=task.process, addresses=task.addresses))


if __name__ == "__main__":
    sys.exit(child.follow("a process of the flow", Task, _work))
