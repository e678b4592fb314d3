"""The deployment's own flow with a clock around its commits.

Promise: it is `flows.allocation.build` with the deployment's connectors, results included; nothing
of the way of a bid is left out or replaced.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from connectors.nats.results_publisher import open_publisher
from connectors.nats.results_publisher import publish as publish_step
from connectors.nats.source import NatsSource
from connectors.nats.topology import stream_identities
from connectors.postgres.writer import LedgerWriters
from flows.allocation import build
from flows.runtime.engine import run_flow
from flows.runtime.servers import Servers
from flows.runtime.supervisor import claim_all
from operators.keyed import BatchSink, BuildStep, Step
from operators.results import agent_results, market_windows
from state.shard import ShardState, StreamIdentity
from state.window import ClosedWindow, Settlement
from walras_schemas import BidStatus

SHARD: Final = 0

OnCommit = Callable[[Settlement], None]


def _nothing(_window: Settlement) -> None:
    """Who only counts wants no more."""


def _commands_in(window: Settlement) -> int:
    return len(window.bids) + len(window.commands) + len(window.dead_letters)


@dataclass(slots=True)
class Course:
    """A run as its windows are committed and published."""

    on_commit: OnCommit = _nothing
    """Called after each window's transaction, in the thread of the commits."""
    began_s: float = 0.0
    commands: int = 0
    bids: int = 0
    lost: int = 0
    digest: str = ""
    commit_s: list[float] = field(default_factory=list)
    progress: list[tuple[float, int]] = field(default_factory=list)
    """After each commit: seconds since the start, commands so far."""

    def add(self, windows: Iterable[ClosedWindow]) -> None:
        """Count windows that are committed and published."""
        for window in windows:
            if isinstance(window, Settlement):
                self._add(window)

    def _add(self, window: Settlement) -> None:
        self.commands += _commands_in(window)
        self.bids += len(window.bids)
        self.lost += sum(bid.status is BidStatus.LOST for bid in window.bids)
        self.digest = window.digest.hex()

    def timed(
        self, commit: BuildStep[ClosedWindow, ClosedWindow]
    ) -> BuildStep[ClosedWindow, ClosedWindow]:
        """The commit step with a clock around each window's transaction."""

        def build_timed(shard: int) -> Step[ClosedWindow, ClosedWindow]:
            return partial(self._commit, commit(shard))

        return build_timed

    def _commit(
        self, commit: Step[ClosedWindow, ClosedWindow], window: ClosedWindow
    ) -> Iterable[ClosedWindow]:
        began = time.perf_counter()
        done = list(commit(window))
        if isinstance(window, Settlement):
            now = time.perf_counter()
            self.commit_s.append(now - began)
            before = self.progress[-1][1] if self.progress else 0
            self.progress.append((now - self.began_s, before + _commands_in(window)))
            self.on_commit(window)
        return done


@dataclass(frozen=True, slots=True)
class Claimed:
    """The shard, claimed for a run."""

    servers: Servers
    window_ms: int
    shards: Mapping[int, ShardState]
    identities: Mapping[int, StreamIdentity]


def claim(servers: Servers, *, window_ms: int) -> Claimed:
    """Claim the shard of the stand's log."""
    identities = stream_identities(servers.nats_url, shards=1)
    shards = claim_all(servers.postgres_dsn, identities, window_ms=window_ms)
    return Claimed(servers, window_ms, shards, identities)


def settle_opening(servers: Servers, *, window_ms: int, opened_seq: int) -> None:
    """Settle the market's opening and the grants, which are no part of what is measured."""
    run(claim(servers, window_ms=window_ms), Course(), last_seq=opened_seq)


def run(
    claimed: Claimed,
    course: Course,
    *,
    last_seq: int | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run the flow up to `last_seq`, or until `stop` is set."""
    servers, window_ms = claimed.servers, claimed.window_ms
    with (
        closing(LedgerWriters(servers.postgres_dsn, claimed.shards)) as ledger,
        open_publisher(servers.nats_url) as publisher,
    ):
        source = NatsSource(
            url=servers.nats_url,
            positions={SHARD: claimed.shards[SHARD].position.next_seq},
            identities=claimed.identities,
            until=None if last_seq is None else {SHARD: last_seq},
            stop=stop or threading.Event(),
        )
        flow = build(
            source=source,
            shards=claimed.shards,
            window_ms=window_ms,
            commit=course.timed(ledger.commit_step),
            publish=publish_step(
                publisher,
                live_of=agent_results,
                durable_of=partial(market_windows, window_ms=window_ms),
            ),
            output=BatchSink(course.add),
        )
        course.began_s = time.perf_counter()
        run_flow(flow)
