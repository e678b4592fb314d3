"""The long-running deployment: servers, streams, claims, and the flow until it is told to stop.

Promise: a stop ends the flow between two batches and loses nothing, a second start goes on where
the ledger stands, and a worker that was replaced stops and says so. An outage of a server is waited
out (flows/runtime/outage.py). Whatever fails here is a `WalrasError`.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from connectors.nats.log_checks import check_applied
from connectors.nats.ticker import ticking
from connectors.nats.topology import FINEST_TICK_MS, make_streams, stream_identities
from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import claim
from connectors.postgres.migrate import migrate
from flows.queries.service import serving_queries
from flows.runtime.failpoints import known
from flows.runtime.health import serving_health
from flows.runtime.outage import Outage
from flows.runtime.processes import run_cluster
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings, failpoint
from flows.runtime.worker import Worker
from state.errors import ServerUnreachable
from state.shard import ShardState, StreamIdentity, Token


def prepare(settings: Settings, servers: Servers) -> None:
    """Bring the ledger's schema up to date and make the streams; twice is the same as once."""
    migrate(servers.postgres_dsn)
    make_streams(
        servers.nats_url,
        shards=settings.shards,
        max_bytes=settings.stream_max_bytes,
        tick_ms=None if settings.window_ms < FINEST_TICK_MS else FINEST_TICK_MS,
    )


@contextmanager
def companions(settings: Settings, servers: Servers) -> Iterator[None]:
    """What runs beside the flow and never in its way: query service, pages of health."""
    with (
        serving_health(settings, servers),
        serving_queries(servers.nats_url, servers.postgres_dsn),
    ):
        yield


def run(
    settings: Settings,
    servers: Servers,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the flow until `stop` is set, in this process or in as many as the settings say.

    Every shard is claimed first: whoever wrote it before is refused from then on. `ready` is called
    when that is done.
    """
    fault = known(failpoint())
    tokens: dict[int, Token] = {}
    outage = Outage(stop)
    started = False
    while not stop.is_set():
        try:
            worker = _claimed(settings, servers, tokens, fault)
            outage.answered()
            if not started:
                started = True
                ready()
            _run_once(worker, settings, stop)
        except ServerUnreachable as lost:
            if not started:
                raise
            outage.bear(lost)


def _claimed(
    settings: Settings, servers: Servers, tokens: dict[int, Token], fault: str | None
) -> Worker:
    """A worker that may write all shards, and knows where each goes on."""
    identities = stream_identities(servers.nats_url, shards=settings.shards)
    claims = claim_all(
        servers.postgres_dsn, identities, window_ms=settings.window_ms, tokens=tokens
    )
    check_applied(servers.nats_url, {shard: state.position for shard, state in claims.items()})
    return Worker(
        servers=servers,
        window_ms=settings.window_ms,
        threads=settings.workers,
        claims=claims,
        positions={shard: state.position.next_seq for shard, state in claims.items()},
        identities=identities,
        failpoint=fault,
    )


def _run_once(worker: Worker, settings: Settings, stop: threading.Event) -> None:
    with _ticks(settings, worker.servers):
        if settings.processes == 1:
            worker.run(stop)
        else:
            run_cluster(worker, processes=settings.processes, stop=stop)


def claim_all(
    postgres_dsn: str,
    identities: Mapping[int, StreamIdentity],
    *,
    window_ms: int,
    tokens: dict[int, Token] | None = None,
) -> dict[int, ShardState]:
    """Claim every shard, each in a transaction of its own.

    `tokens` are those of earlier claims of ours, whose shards are taken from nobody else, and then
    those of these claims.
    """
    ours = {} if tokens is None else tokens
    claims = {}
    with connect(postgres_dsn) as connection:
        for shard, stream in identities.items():
            # A claim that fails may have been made, with its answer lost: then nothing is known.
            after = ours.pop(shard, None)
            claims[shard] = claim(
                connection, shard, identity=stream, window_ms=window_ms, after=after
            )
            ours[shard] = claims[shard].token
    return claims


def _ticks(settings: Settings, servers: Servers) -> AbstractContextManager[None]:
    """The server itself ticks every second; only shorter windows need ticks of ours."""
    if settings.window_ms >= FINEST_TICK_MS:
        return nullcontext()
    return ticking(servers.nats_url, shards=settings.shards, window_ms=settings.window_ms)
