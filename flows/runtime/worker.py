"""One process of the flow: its own connections, all steps, the shards that fall to its workers.

Promise: results leave after their window's commit, and what a crash kept back leaves first. It
ends within seconds of a stop, also when a server is silent.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from connectors.nats.results_publisher import open_publisher
from connectors.nats.results_publisher import publish as publish_step
from connectors.nats.source import NatsSource
from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import read_settlement, unpublished
from connectors.postgres.writer import LedgerWriters
from flows.runtime.engine import run_flow
from flows.runtime.failpoints import parts
from flows.runtime.servers import Servers
from flows.runtime.shutdown import ending
from flows.runtime.spread import keys_of
from operators.keyed import BatchSink, BuildStep
from operators.results import result_messages
from state.shard import ShardState, StreamIdentity
from state.window import ClosedWindow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Which process of how many this is; `addresses` are those of all, or none for one alone."""

    process: int = 0
    addresses: Sequence[str] = ()

    @property
    def processes(self) -> int:
        """How many there are."""
        return max(1, len(self.addresses))


@dataclass(frozen=True, slots=True)
class Worker:
    """What a process needs to run the flow over shards that were claimed for it."""

    servers: Servers
    window_ms: int
    threads: int
    claims: Mapping[int, ShardState]
    positions: Mapping[int, int]
    """Shard to the sequence that is next to read."""
    identities: Mapping[int, StreamIdentity]
    failpoint: str | None = None
    """A fault on purpose; see `flows.runtime.failpoints`."""

    def run(self, stop: threading.Event, place: Place = Place()) -> None:
        """Run until `stop` is set; a `WalrasError` says why it ended before."""
        use = parts(self.failpoint)
        ledger = LedgerWriters(self.servers.postgres_dsn, self.claims, connect=use.connect)
        with (
            closing(ledger),
            open_publisher(self.servers.nats_url) as publisher,
            ending(stop, [ledger, publisher]) as end,
        ):
            publish = publish_step(
                publisher,
                identities=self.identities,
                window_ms=self.window_ms,
                announce=partial(result_messages, window_ms=self.window_ms),
                mark_published=ledger.mark_published,
            )
            if place.process == 0:
                self._publish_left_over(publish)
            flow = use.build(
                source=NatsSource(
                    url=self.servers.nats_url,
                    positions=self.positions,
                    identities=self.identities,
                    keys=keys_of(self.positions, workers=self.threads * place.processes),
                    stop=stop,
                ),
                shards=self.claims,
                window_ms=self.window_ms,
                commit=end.watched(ledger.commit_step),
                publish=end.watched(publish),
                output=BatchSink(_through),
            )
            run_flow(flow, workers=self.threads, addresses=place.addresses, process=place.process)

    def _publish_left_over(self, publish: BuildStep[ClosedWindow, ClosedWindow]) -> None:
        """What a crash left between its commit and its results."""
        with connect(self.servers.postgres_dsn) as connection:
            for shard in self.positions:
                step = publish(shard)
                for window_id in unpublished(connection, shard):
                    for window in step(read_settlement(connection, shard, window_id)):
                        _through([window])


def _through(windows: Iterable[ClosedWindow]) -> None:
    for window in windows:
        log.debug("shard %d is through with window %d", window.shard, window.window_id)
