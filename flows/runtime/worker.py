"""One run of the flow over claimed shards: its connections, all steps, from the log to the results.

Promise: results leave after their window's commit, and what a crash kept back leaves first. It
ends within seconds of a stop, also when a server is silent.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from bytewax.dataflow import Dataflow

from connectors.nats.results_publisher import open_publisher
from connectors.nats.results_publisher import publish as publish_step
from connectors.nats.source import NatsSource
from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import read_settlement, unpublished
from connectors.postgres.writer import Connect, LedgerWriters
from flows import allocation
from flows.runtime.engine import run_flow
from flows.runtime.servers import Servers
from flows.runtime.shutdown import graceful_shutdown
from operators.keyed import BatchSink, BuildStep
from operators.results import result_messages
from state.shard import ShardState, StreamIdentity
from state.window import ClosedWindow

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
            publish = publish_step(
                publisher,
                identities=self.identities,
                window_ms=self.window_ms,
                announce=partial(result_messages, window_ms=self.window_ms),
                mark_published=ledger.mark_published,
            )
            self._publish_left_over(publish)
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

    def _publish_left_over(self, publish: BuildStep[ClosedWindow, ClosedWindow]) -> None:
        """What a crash left between its commit and its results."""
        with connect(self.servers.postgres_dsn) as connection:
            for shard in self.claims:
                step = publish(shard)
                for window_id in unpublished(connection, shard):
                    for window in step(read_settlement(connection, shard, window_id)):
                        _log_published([window])


def _log_published(windows: Iterable[ClosedWindow]) -> None:
    for window in windows:
        log.debug("shard %d has published window %d", window.shard, window.window_id)
