"""The long-running deployment: servers, streams, claims, and the flow until it is told to stop.

Promise: a stop ends the flow between two batches and loses nothing, a second start goes on where
the ledger stands, and a worker that was replaced stops and says so. Whatever fails here is a
`WalrasError`.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass

from connectors.embedded.servers import embedded
from connectors.nats.admin import make_streams, stream_identities
from connectors.nats.publisher import Publisher, open_publisher
from connectors.nats.source import NatsSource
from connectors.nats.streams import FINEST_TICK_MS
from connectors.nats.ticker import ticking
from connectors.postgres.commit import LedgerWriters
from connectors.postgres.connect import connect
from connectors.postgres.ledger import claim, read_settlement, unpublished
from connectors.postgres.migrate import migrate
from flows.allocation import build
from flows.running import run_flow
from flows.settings import Settings
from operators.announce import announce
from operators.per_shard import PerShardSink
from state.settlement import ClosedWindow, Settlement
from state.shard import ShardState, StreamIdentity


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the log and the ledger are."""

    nats_url: str
    postgres_dsn: str


@contextmanager
def open_servers(settings: Settings) -> Iterator[Servers]:
    """The servers that the settings name; what they do not name is embedded for the block."""
    if settings.nats_url and settings.postgres_dsn:
        yield Servers(settings.nats_url, settings.postgres_dsn)
        return
    with embedded(settings.home, shards=settings.shards) as own:
        yield Servers(
            nats_url=settings.nats_url or own.nats_url,
            postgres_dsn=settings.postgres_dsn or own.postgres_dsn,
        )


def prepare(settings: Settings, servers: Servers) -> None:
    """Bring the ledger's schema up to date and make the streams; twice is the same as once."""
    migrate(servers.postgres_dsn)
    make_streams(
        servers.nats_url,
        shards=settings.shards,
        max_bytes=settings.stream_max_bytes,
        tick_ms=None if settings.window_ms < FINEST_TICK_MS else FINEST_TICK_MS,
    )


def run(settings: Settings, servers: Servers, stop: threading.Event) -> None:
    """Run the flow in this process until `stop` is set.

    Every shard is claimed first: whoever wrote it before is refused from then on.
    """
    identities = stream_identities(servers.nats_url, shards=settings.shards)
    claims = claim_all(servers.postgres_dsn, identities, window_ms=settings.window_ms)
    with (
        closing(LedgerWriters(servers.postgres_dsn, claims)) as ledger,
        open_publisher(servers.nats_url) as publisher,
        _ticks(settings, servers),
    ):
        tell = _teller(publisher, ledger, window_ms=settings.window_ms)
        _tell_unpublished(servers.postgres_dsn, claims, tell)
        flow = build(
            source=NatsSource(
                url=servers.nats_url,
                positions={shard: state.position.next_seq for shard, state in claims.items()},
                identities=identities,
                stop=stop,
            ),
            shards=claims,
            window_ms=settings.window_ms,
            commit=ledger.commit_step,
            publish=PerShardSink(lambda _shard: tell),
        )
        run_flow(flow, workers=settings.workers)


def claim_all(
    postgres_dsn: str, identities: Mapping[int, StreamIdentity], *, window_ms: int
) -> dict[int, ShardState]:
    """Claim every shard, each in a transaction of its own."""
    with connect(postgres_dsn) as connection:
        return {
            shard: claim(connection, shard, identity=stream, window_ms=window_ms)
            for shard, stream in identities.items()
        }


def _ticks(settings: Settings, servers: Servers) -> AbstractContextManager[None]:
    """The server itself ticks every second; only shorter windows need ticks of ours."""
    if settings.window_ms >= FINEST_TICK_MS:
        return nullcontext()
    return ticking(servers.nats_url, shards=settings.shards, window_ms=settings.window_ms)


def _teller(
    publisher: Publisher, ledger: LedgerWriters, *, window_ms: int
) -> Callable[[ClosedWindow], None]:
    """The publish step: all results of a window leave, then the ledger remembers that they did."""

    def tell(window: ClosedWindow) -> None:
        if isinstance(window, Settlement):
            publisher.publish(announce(window, window_ms=window_ms))
            ledger.mark_published(window.shard, window.window_id)

    return tell


def _tell_unpublished(
    postgres_dsn: str, claims: Mapping[int, ShardState], tell: Callable[[ClosedWindow], None]
) -> None:
    """What a crash left between its commit and its results."""
    with connect(postgres_dsn) as connection:
        for shard in claims:
            for window_id in unpublished(connection, shard):
                tell(read_settlement(connection, shard, window_id))
