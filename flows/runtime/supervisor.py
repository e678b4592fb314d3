"""The deployment: prepares servers and streams, claims shards, runs the flow and restarts it.

Promise: a stop ends the flow between two batches and loses nothing, a second start resumes where
the ledger stands, and a worker that was replaced stops with an error. An outage that ends a run is
waited out: logged once when it begins and once when a run begins again. Whatever fails here is a
`WalrasError`.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

from connectors.nats.log_checks import check_applied
from connectors.nats.ticker import ticking
from connectors.nats.topology import FINEST_TICK_MS, make_streams, stream_identities
from connectors.postgres.connection import connect
from connectors.postgres.ledger.shard_row import require_window_length
from connectors.postgres.ledger.transaction import claim
from connectors.postgres.migrate import migrate
from flows.queries.service import serving_queries
from flows.runtime import child_process
from flows.runtime.clock import keeping_clock
from flows.runtime.health import serving_health
from flows.runtime.processes import run_processes
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings, load_settings
from flows.runtime.watching import open_telemetry, serving_metrics, watched_worker
from flows.runtime.worker import Worker
from otel.setup import Telemetry
from state.errors import ServerUnreachable
from state.shard import ShardState, StreamIdentity, Token
from walras_client.backoff import Backoff

OUTAGE_LIMIT_S: Final = 3600.0
WORKED_S: Final = 600.0
"""Longer than anything inside a run waits: such a run has done its work for a time."""

log = logging.getLogger(__name__)

MakeWorker = Callable[..., Worker]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one process runs: its shards of a deployment."""

    servers: Servers
    shards: tuple[int, ...]
    window_ms: int
    metrics_port: int = 0
    """Where a process of its own serves its metrics; 0 for nowhere."""


def prepare(settings: Settings, servers: Servers) -> None:
    """Bring the ledger's schema up to date and make the streams; twice is the same as once.

    Raises `SettingsError` when the settings contradict the ledger or the streams.
    """
    migrate(servers.postgres_dsn)
    with connect(servers.postgres_dsn) as ledger:
        require_window_length(ledger, settings.window_ms)
    make_streams(
        servers.nats_url,
        shards=settings.shards,
        max_bytes=settings.stream_max_bytes,
        tick_ms=None if settings.window_ms < FINEST_TICK_MS else FINEST_TICK_MS,
    )


@contextmanager
def services(
    settings: Settings, servers: Servers, *, telemetry: Telemetry | None = None
) -> Iterator[None]:
    """What runs beside the flow and never in its way: query service, pages of health."""
    with (
        keeping_clock(settings, servers) as clock,
        serving_health(settings, servers, telemetry=telemetry, on_measured=clock.look),
        serving_queries(servers.nats_url, servers.postgres_dsn),
    ):
        yield


def run(
    settings: Settings,
    servers: Servers,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    telemetry: Telemetry | None = None,
) -> None:
    """Run the flow until `stop` is set, in this process or in as many as the settings say.

    Every shard is claimed first: an earlier worker on it is refused from then on. `ready` is called
    when that is done.
    """
    tasks = split(settings, servers)
    if len(tasks) == 1:
        run_shards(tasks[0], stop, ready=ready, make_worker=watched_worker(telemetry))
    else:
        starts = [partial(child_process.start, __name__, task) for task in tasks]
        run_processes(starts, stop, ready=ready)


def split(settings: Settings, servers: Servers) -> list[Task]:
    """The task of each process: every n-th shard; none is left without a shard."""
    processes = min(settings.processes, settings.shards)
    return [
        Task(
            servers=servers,
            shards=tuple(range(number, settings.shards, processes)),
            window_ms=settings.window_ms,
            metrics_port=settings.health_port and settings.health_port + 1 + number,
        )
        for number in range(processes)
    ]


def run_shards(
    task: Task,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    make_worker: MakeWorker = Worker,
) -> None:
    """Claim the shards of a task and run the flow over them until `stop`, through outages."""
    tokens: dict[int, Token] = {}
    outage = Outage(stop)
    started = False
    while not stop.is_set():
        try:
            worker = claim_shards(task, tokens, make_worker=make_worker)
            outage.run_begins()
            if not started:
                started = True
                ready()
            with _ticks(task):
                worker.run(stop)
        except ServerUnreachable as failure:
            outage.wait(failure)


class Outage:
    """Whether, and since when, no run can do its work."""

    def __init__(
        self,
        stop: threading.Event,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._backoff = backoff or Backoff(OUTAGE_LIMIT_S, clock=clock)
        self._clock = clock
        self._run_began_s: float | None = clock()

    def wait(self, failure: ServerUnreachable) -> None:
        """Wait before the next attempt, no longer than until the stop; raise at the limit."""
        interrupted = self._run_began_s is not None
        if self._run_began_s is not None and self._clock() - self._run_began_s > WORKED_S:
            self._backoff.reset()
        self._run_began_s = None
        wait_s = self._backoff.next_s()
        if wait_s is None:
            raise failure
        if interrupted:
            log.warning("server unavailable, retrying: %s", failure)
        self._stop.wait(wait_s)

    def run_begins(self) -> None:
        """Both servers answer; whether they also take a window is not known yet."""
        if self._run_began_s is None:
            log.warning("servers available again, the flow resumes")
        self._run_began_s = self._clock()


def claim_shards(
    task: Task, tokens: dict[int, Token], *, make_worker: MakeWorker = Worker
) -> Worker:
    """A worker that may write the shards of a task, and knows where each resumes.

    `tokens` are those of earlier claims of ours, whose shards are taken from nobody else, and then
    those of these claims.
    """
    servers = task.servers
    identities = stream_identities(servers.nats_url, shards=task.shards)
    claims = _claim_each(servers.postgres_dsn, identities, window_ms=task.window_ms, tokens=tokens)
    check_applied(servers.nats_url, {shard: state.position for shard, state in claims.items()})
    return make_worker(
        servers=servers, window_ms=task.window_ms, claims=claims, identities=identities
    )


def _claim_each(
    postgres_dsn: str,
    identities: Mapping[int, StreamIdentity],
    *,
    window_ms: int,
    tokens: dict[int, Token],
) -> dict[int, ShardState]:
    claims = {}
    with connect(postgres_dsn) as connection:
        for shard, stream in identities.items():
            # A claim that fails may have been made, with its answer lost: then nothing is known.
            after = tokens.pop(shard, None)
            claims[shard] = claim(
                connection, shard, identity=stream, window_ms=window_ms, after=after
            )
            tokens[shard] = claims[shard].token
    return claims


def _ticks(task: Task) -> AbstractContextManager[None]:
    """The server itself ticks every second; only shorter windows need ticks of ours."""
    if task.window_ms >= FINEST_TICK_MS:
        return nullcontext()
    return ticking(task.servers.nats_url, shards=task.shards, window_ms=task.window_ms)


def _run_child(task: Task, stop: threading.Event) -> None:
    with (
        open_telemetry(load_settings(), role="flow") as telemetry,
        serving_metrics(telemetry, port=task.metrics_port),
    ):
        worker = watched_worker(telemetry)
        run_shards(task, stop, ready=child_process.report_ready, make_worker=worker)


if __name__ == "__main__":
    sys.exit(child_process.child_main("a process of the flow", Task, _run_child))
