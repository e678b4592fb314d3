"""One process of the flow: its own connections, all steps, the shards that fall to its workers.

Promise: results leave after their window's commit, and windows that a crash kept back first. It
ends within seconds of a stop, also when a server is silent.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from connectors.nats.results_publisher import ResultsPublisher, open_publisher
from connectors.nats.results_publisher import publish as publish_step
from connectors.nats.source import NatsSource
from connectors.postgres.connection import connect
from connectors.postgres.reads.windows import recent_windows
from connectors.postgres.writer import LedgerWriters
from flows.runtime.engine import run_flow
from flows.runtime.failpoints import parts
from flows.runtime.servers import Servers
from flows.runtime.shutdown import ending
from flows.runtime.spread import keys_of
from operators.keyed import BatchSink
from operators.results import agent_results, market_windows
from state.shard import ShardState, StreamIdentity
from state.window import ClosedWindow, OutboundMessage, Settlement, WindowSummary

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
            if place.process == 0:
                self._publish_missing(publisher)
            publish = publish_step(
                publisher, live_of=agent_results, durable_of=self._market_windows
            )
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

    def _market_windows(self, window: Settlement | WindowSummary) -> Iterable[OutboundMessage]:
        return market_windows(window, window_ms=self.window_ms)

    def _publish_missing(self, publisher: ResultsPublisher) -> None:
        """What a crash left between its commit and its windows."""
        with connect(self.servers.postgres_dsn) as connection:
            for shard in self.positions:
                windows = recent_windows(connection, shard)
                publisher.publish_missing(windows, self._market_windows)


def _through(windows: Iterable[ClosedWindow]) -> None:
    for window in windows:
        log.debug("shard %d is through with window %d", window.shard, window.window_id)
