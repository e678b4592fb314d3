"""How the flow is doing, asked of its two servers and of nobody's memory.

Promise: supervisors and the doctor are told the same, whichever process commits. How far a shard is
behind is the stream's own time, so that two clocks that differ raise no alarm; the open window,
which nothing can commit yet, is no delay.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from connectors.nats.log_checks import LogEnd, log_ends
from connectors.postgres.connection import connect
from connectors.postgres.reads.progress import ShardProgress, read_progress
from connectors.web.app import Page, serving
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from state.errors import WalrasError

BEHIND_LIMIT_S: Final = 10.0
"""Beyond the length of a window: who is further behind is not ready."""
LOOK_EVERY_S: Final = 1.0
UNHEARD_LIMIT_S: Final = 15.0
"""A look waits for one server after the other, for each five seconds at most."""
NS_PER_S: Final = 1_000_000_000
MS_PER_S: Final = 1000


@dataclass(frozen=True, slots=True)
class ShardHealth:
    """One shard: what of its log is not in the ledger, and the age of its last window row."""

    shard: int
    lag_messages: int
    behind_s: float
    committed_ago_s: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at both servers found; without a trouble, the flow does its work."""

    shards: tuple[ShardHealth, ...] = ()
    troubles: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """In a line, for a person."""
        return "; ".join(self.troubles) or "; ".join(map(_told, self.shards))


def measure(settings: Settings, servers: Servers) -> Health:
    """Ask both servers; one that does not answer is a trouble among others."""
    troubles: list[str] = []
    known: dict[int, ShardProgress] = {}
    ends: dict[int, LogEnd] = {}
    try:
        with closing(connect(servers.postgres_dsn)) as ledger:
            known = read_progress(ledger)
    except WalrasError as failure:
        troubles.append(f"{failure.what}: {failure.detail}")
    try:
        ends = log_ends(servers.nats_url, shards=settings.shards)
    except WalrasError as failure:
        troubles.append(f"{failure.what}: {failure.detail}")
    if troubles:
        return Health(troubles=tuple(troubles))
    shards = tuple(_shard(shard, known.get(shard), end) for shard, end in ends.items())
    return Health(shards, tuple(_behind(shards, settings.window_ms)))


def _shard(shard: int, standing: ShardProgress | None, end: LogEnd) -> ShardHealth:
    next_seq, applied_ns = (standing.next_seq, standing.stream_time_ns) if standing else (1, 0)
    lag = max(0, end.last_seq + 1 - next_seq)
    behind_ns = max(0, end.last_ns - (applied_ns or end.first_ns)) if lag else 0
    return ShardHealth(
        shard=shard,
        lag_messages=lag,
        behind_s=round(behind_ns / NS_PER_S, 3),
        committed_ago_s=standing.committed_ago_s if standing else None,
    )


def _behind(shards: tuple[ShardHealth, ...], window_ms: int) -> Iterator[str]:
    limit_s = window_ms / MS_PER_S + BEHIND_LIMIT_S
    for each in shards:
        if each.behind_s > limit_s:
            yield f"{_told(each)}: more than {limit_s:g} s"


def _told(each: ShardHealth) -> str:
    age = each.committed_ago_s
    committed = "no window yet" if age is None else f"last window committed {age:.1f} s ago"
    return (
        f"shard {each.shard} is {each.lag_messages} messages or {each.behind_s:.1f} s behind, "
        f"{committed}"
    )


@contextmanager
def serving_health(settings: Settings, servers: Servers) -> Iterator[None]:
    """Serve `/healthz` (the process lives) and `/readyz` (it keeps up) beside the block.

    Both tell the same of the shards; only the status differs. Port 0 serves nothing.
    """
    if settings.health_port == 0:
        yield
        return
    watch, over = Watch(), threading.Event()

    def keep_looking() -> None:
        while not over.wait(LOOK_EVERY_S):
            watch.seen(measure(settings, servers))

    threading.Thread(target=keep_looking, name="health", daemon=True).start()
    pages = {"/healthz": watch.alive, "/readyz": watch.ready}
    with serving(pages, port=settings.health_port):
        try:
            yield
        finally:
            over.set()


class Watch:
    """The last look, from which both pages are made at once, however long the next one takes."""

    def __init__(self) -> None:
        self._last = time.monotonic(), Health(troubles=("nobody has looked yet",))

    def seen(self, health: Health) -> None:
        """Take the place of the last look."""
        self._last = time.monotonic(), health

    def alive(self) -> Page:
        """Whoever answers is alive."""
        return Page(HTTPStatus.OK, {"alive": True, **self._content()})

    def ready(self) -> Page:
        """Whether both servers answer and no shard is behind."""
        content = self._content()
        ready = not content["troubles"]
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Page(status, {"ready": ready, **content})

    def _content(self) -> dict[str, Any]:
        at_s, health = self._last
        ago_s = round(time.monotonic() - at_s, 3)
        unheard = [f"no answer for {ago_s:.0f} s"] if ago_s > UNHEARD_LIMIT_S else []
        return {
            "troubles": [*health.troubles, *unheard],
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
    }
