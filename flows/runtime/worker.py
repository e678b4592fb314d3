"""One run of the flow over claimed shards: its connections, all steps, from the log to the results.

Promise: results leave after their window's commit, and windows that a crash kept back first. It
ends within seconds of a stop, also when a server is silent.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

from bytewax.dataflow import Dataflow

from connectors.nats.results_publisher import ResultsPublisher, open_publisher
from connectors.nats.results_publisher import publish as publish_step
from connectors.nats.source import NatsSource
from connectors.postgres.connection import connect
from connectors.postgres.reads.windows import recent_windows
from connectors.postgres.writer import Connect, LedgerWriters
from flows import allocation
from flows.runtime.engine import run_flow
from flows.runtime.servers import Servers
from flows.runtime.shutdown import graceful_shutdown
from operators.keyed import BatchSink
from operators.results import agent_results, market_windows
from state.shard import ShardState, StreamIdentity
from state.window import ClosedWindow, OutboundMessage, Settlement, WindowSummary

log = logging.getLogger(__name__)

BuildFlow = Callable[..., Dataflow]
"""`allocation.build`, or what calls it with something put around a step, to measure or to test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Runs the flow over shards that were claimed for it, and is the one place that wires it."""

    servers: Servers
    window_ms: int
    claims: Mapping[int, ShardState]
    identities: Mapping[int, StreamIdentity]
    connect: Connect = connect
    build: BuildFlow = allocation.build

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set; a `WalrasError` says why it ended before."""
        ledger = LedgerWriters(self.servers.postgres_dsn, self.claims, connect=self.connect)
        with (
            closing(ledger),
            open_publisher(self.servers.nats_url) as publisher,
            graceful_shutdown(stop, [ledger, publisher]) as shutdown,
        ):
            self._publish_missing(publisher)
            publish = publish_step(
                publisher, live_of=agent_results, durable_of=self._market_windows
            )
            flow = self.build(
                source=self._source(stop),
                shards=self.claims,
                window_ms=self.window_ms,
                commit=shutdown.guarded(ledger.commit_step),
                publish=shutdown.guarded(publish),
                output=BatchSink(_log_published),
            )
            run_flow(flow)

    def _source(self, stop: threading.Event) -> NatsSource:
        return NatsSource(
            url=self.servers.nats_url,
            positions={shard: state.position.next_seq for shard, state in self.claims.items()},
            identities=self.identities,
            stop=stop,
        )

    def _market_windows(self, window: Settlement | WindowSummary) -> Iterable[OutboundMessage]:
        return market_windows(window, window_ms=self.window_ms)

    def _publish_missing(self, publisher: ResultsPublisher) -> None:
        """What a crash left between its commit and its windows."""
        with connect(self.servers.postgres_dsn) as connection:
            for shard in self.claims:
                windows = recent_windows(connection, shard)
                publisher.publish_missing(windows, self._market_windows)


def _log_published(windows: Iterable[ClosedWindow]) -> None:
    for window in windows:
        log.debug("shard %d has published window %d", window.shard, window.window_id)
