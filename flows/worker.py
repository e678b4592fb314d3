"""One process of the flow: its own connections, all steps, the shards that fall to its workers.

Promise: results leave after their window's commit, and what a crash kept back leaves first.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from connectors.nats.publisher import Publisher, open_publisher
from connectors.nats.source import NatsSource
from connectors.postgres.commit import LedgerWriters
from connectors.postgres.connect import connect
from connectors.postgres.ledger import read_settlement, unpublished
from flows.allocation import build
from flows.running import run_flow
from operators.announce import announce
from operators.per_shard import PerShardSink
from state.settlement import ClosedWindow, Settlement
from state.shard import ShardState, StreamIdentity

Tell = Callable[[ClosedWindow], None]
"""The publish step: it gets windows that are in the ledger."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the log and the ledger are."""

    nats_url: str
    postgres_dsn: str


@dataclass(frozen=True, slots=True)
class Place:
    """Which process of how many this is; `addresses` are those of all, or none for one alone."""

    process: int = 0
    addresses: Sequence[str] = ()


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

    def run(self, stop: threading.Event, place: Place = Place()) -> None:
        """Run until `stop` is set; a `WalrasError` says why it ended before."""
        with (
            closing(LedgerWriters(self.servers.postgres_dsn, self.claims)) as ledger,
            open_publisher(self.servers.nats_url) as publisher,
        ):
            tell = self._teller(publisher, ledger)
            if place.process == 0:
                self._tell_unpublished(tell)
            flow = build(
                source=NatsSource(
                    url=self.servers.nats_url,
                    positions=self.positions,
                    identities=self.identities,
                    stop=stop,
                ),
                shards=self.claims,
                window_ms=self.window_ms,
                commit=ledger.commit_step,
                publish=PerShardSink(lambda _shard: tell),
            )
            run_flow(flow, workers=self.threads, addresses=place.addresses, process=place.process)

    def _teller(self, publisher: Publisher, ledger: LedgerWriters) -> Tell:
        """All results of a window leave, then the ledger remembers that they did."""

        def tell(window: ClosedWindow) -> None:
            if isinstance(window, Settlement):
                publisher.publish(announce(window, window_ms=self.window_ms))
                ledger.mark_published(window.shard, window.window_id)

        return tell

    def _tell_unpublished(self, tell: Tell) -> None:
        """What a crash left between its commit and its results."""
        with connect(self.servers.postgres_dsn) as connection:
            for shard in self.positions:
                for window_id in unpublished(connection, shard):
                    tell(read_settlement(connection, shard, window_id))
