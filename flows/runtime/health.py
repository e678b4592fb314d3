"""How the flow is doing, measured at its two servers and kept by no process.

Promise: supervisors and the doctor get the same answer, whichever process commits. How far a shard
is behind is measured in the stream's own time, so that two clocks that differ raise no alarm; the
open window, which nothing can commit yet, is no delay. Whether that time advances, and is
not ahead, is measured by this machine's clock, with a few seconds for the difference.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from connectors.nats.log_checks import LogEnd, log_ends
from connectors.postgres.connection import connect
from connectors.postgres.reads.progress import ShardProgress, read_progress
from connectors.web.app import Page, pages_app
from connectors.web.server import serving
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.watching import metrics_pages
from otel import names
from otel.setup import Telemetry
from state.errors import WalrasError

LAG_LIMIT_S: Final = 10.0
"""A shard that is further behind than this and a window is not ready."""
MEASURE_INTERVAL_S: Final = 1.0
STALE_AFTER_S: Final = 15.0
"""A measurement asks one server after the other, and waits at most five seconds for each."""
CLOCKS_DIFFER_S: Final = 5.0
"""As much as an id may be ahead of the log (SEMANTICS §4)."""
TICKS_MISSED: Final = 2
TICK_MS: Final = 1000
NS_PER_S: Final = 1_000_000_000
MS_PER_S: Final = 1000


@dataclass(frozen=True, slots=True)
class ShardHealth:
    """One shard: what of its log is not in the ledger, and the age of its last window row."""

    shard: int
    lag_messages: int
    behind_s: float
    committed_ago_s: float | None
    silent_s: float | None = None
    """The age of its last message, which is a tick at the latest; None for an empty log."""
    ahead_s: float = 0.0
    """How far its time is ahead of this machine's clock."""
    log_bytes: int = 0

    @property
    def summary(self) -> str:
        """In a line, for a person."""
        age = self.committed_ago_s
        committed = "no window yet" if age is None else f"last window committed {age:.1f} s ago"
        return (
            f"shard {self.shard} is {self.lag_messages} messages or {self.behind_s:.1f} s behind, "
            f"{committed}"
        )


@dataclass(frozen=True, slots=True)
class Health:
    """One measurement of both servers; without a problem, the flow does its work."""

    shards: tuple[ShardHealth, ...] = ()
    problems: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()
    """Those of the problems that say that the clock of a log has stopped."""
    ahead: tuple[str, ...] = ()
    """Those that say that it is ahead."""

    @property
    def summary(self) -> str:
        """In a line, for a person."""
        return "; ".join(self.problems or [shard.summary for shard in self.shards])


def measure(settings: Settings, servers: Servers) -> Health:
    """Ask both servers; one that does not answer is a problem like any other."""
    problems: list[str] = []
    progress: dict[int, ShardProgress] = {}
    ends: dict[int, LogEnd] = {}
    try:
        with closing(connect(servers.postgres_dsn)) as ledger:
            progress = read_progress(ledger)
    except WalrasError as failure:
        problems.append(f"{failure.what}: {failure.detail}")
    try:
        ends = log_ends(servers.nats_url, shards=settings.shards)
    except WalrasError as failure:
        problems.append(f"{failure.what}: {failure.detail}")
    if problems:
        return Health(problems=tuple(problems))
    shards = tuple(_shard(shard, progress.get(shard), end) for shard, end in ends.items())
    lagging = tuple(_lagging(shards, settings.window_ms))
    standing, ahead = tuple(_standing(shards, settings.window_ms)), tuple(_ahead(shards))
    return Health(shards, (*lagging, *standing, *ahead), standing=standing, ahead=ahead)


def _shard(shard: int, progress: ShardProgress | None, end: LogEnd) -> ShardHealth:
    next_seq, applied_ns = (progress.next_seq, progress.stream_time_ns) if progress else (1, 0)
    lag = max(0, end.last_seq + 1 - next_seq)
    now_ns = time.time_ns()
    behind_ns = max(0, end.last_ns - (applied_ns or end.first_ns)) if lag else 0
    return ShardHealth(
        shard=shard,
        lag_messages=lag,
        behind_s=round(behind_ns / NS_PER_S, 3),
        committed_ago_s=progress.committed_ago_s if progress else None,
        silent_s=round((now_ns - end.last_ns) / NS_PER_S, 3) if end.last_seq else None,
        ahead_s=round(max(0, max(end.last_ns, applied_ns) - now_ns) / NS_PER_S, 3),
        log_bytes=end.size_bytes,
    )


def _lagging(shards: tuple[ShardHealth, ...], window_ms: int) -> Iterator[str]:
    limit_s = window_ms / MS_PER_S + LAG_LIMIT_S
    for each in shards:
        if each.behind_s > limit_s:
            yield f"{each.summary}: more than {limit_s:g} s"


def _standing(shards: tuple[ShardHealth, ...], window_ms: int) -> Iterator[str]:
    limit_s = TICKS_MISSED * min(window_ms, TICK_MS) / MS_PER_S + CLOCKS_DIFFER_S
    for each in shards:
        if each.silent_s is not None and each.silent_s > limit_s:
            yield (
                f"the clock of shard {each.shard} has stopped: no tick for {each.silent_s:.0f} s, "
                "and no window closes without one"
            )


def _ahead(shards: tuple[ShardHealth, ...]) -> Iterator[str]:
    for each in shards:
        if each.ahead_s > CLOCKS_DIFFER_S:
            yield (
                f"the clock of shard {each.shard} is {each.ahead_s:.0f} s ahead of this machine's: "
                "until then no window closes, and commands are rejected as stale_event_id"
            )


@contextmanager
def serving_health(
    settings: Settings,
    servers: Servers,
    *,
    telemetry: Telemetry | None = None,
    on_measured: Callable[[Health], None] = lambda _: None,
) -> Iterator[None]:
    """Serve `/healthz` (the process lives) and `/readyz` (it keeps up) beside the block.

    Both show the same of the shards; only the status differs. With metrics there is `/metrics` too.
    Port 0 serves nothing; each measurement is handed on all the same.
    """
    monitor, stop = HealthMonitor(), threading.Event()

    def keep_measuring() -> None:
        while not stop.wait(MEASURE_INTERVAL_S):
            health = measure(settings, servers)
            monitor.record(health)
            on_measured(health)
            if telemetry:
                _count(health, telemetry)

    threading.Thread(target=keep_measuring, name="health", daemon=True).start()
    health_pages = {"/healthz": monitor.alive, "/readyz": monitor.ready}
    app = pages_app({**health_pages, **metrics_pages(telemetry)})
    pages = serving(app, name="health endpoint", port=settings.health_port)
    with pages if settings.health_port else nullcontext():
        try:
            yield
        finally:
            stop.set()


def _count(health: Health, telemetry: Telemetry) -> None:
    """Show the last measurement as metrics."""
    if telemetry.metrics is None:
        return
    for shard in health.shards:
        labels = {names.SHARD: shard.shard}
        telemetry.metrics.set(names.BEHIND, shard.behind_s, labels)
        telemetry.metrics.set(names.BEHIND_MESSAGES, shard.lag_messages, labels)
        telemetry.metrics.set(names.LOG_BYTES, shard.log_bytes, labels)


class HealthMonitor:
    """The last measurement, from which both pages are made however long the next one takes."""

    def __init__(self) -> None:
        self._last = time.monotonic(), Health(problems=("nothing was measured yet",))

    def record(self, health: Health) -> None:
        """Replace the last measurement."""
        self._last = time.monotonic(), health

    def alive(self) -> Page:
        """A process that answers is alive."""
        return Page(HTTPStatus.OK, {"alive": True, **self._content()})

    def ready(self) -> Page:
        """Whether both servers answer and no shard is behind."""
        content = self._content()
        ready = not content["troubles"]
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Page(status, {"ready": ready, **content})

    def _content(self) -> dict[str, Any]:
        """What both pages show; its keys are promised to whoever reads them."""
        measured_s, health = self._last
        ago_s = round(time.monotonic() - measured_s, 3)
        stale = [f"no answer for {ago_s:.0f} s"] if ago_s > STALE_AFTER_S else []
        return {
            "troubles": [*health.problems, *stale],
            "looked_ago_s": ago_s,
            "shards": [_content_of(each, ago_s) for each in health.shards],
        }


def _content_of(each: ShardHealth, ago_s: float) -> dict[str, Any]:
    age = each.committed_ago_s
    return {
        "shard": each.shard,
        "lag_messages": each.lag_messages,
        "behind_s": each.behind_s,
        "committed_ago_s": None if age is None else round(age + ago_s, 3),
        "silent_s": each.silent_s,
        "ahead_s": each.ahead_s,
    }
