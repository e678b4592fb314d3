"""Who looks on, past the lines: readers of balances and results, the lag, the time of a commit."""

import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

import psycopg
from psycopg import Connection

from connectors.nats.log_checks import log_ends
from connectors.postgres.connection import connect
from connectors.postgres.reads.progress import read_progress
from flows.runtime.servers import Servers
from state.errors import ServerUnreachable
from tests.chaos.faults import Injected, alone
from tests.crash.due import Content
from walras_client.nats.jetstream import NS_PER_S

WINDOW_MS: Final = 1000
WINDOW_NS: Final = WINDOW_MS * 1_000_000
READ_EVERY_S: Final = 0.02
LOOK_AGAIN_S: Final = 0.1
BEHIND_WINDOWS: Final = 2
"""How far the ledger is behind at most, where all is well: the last one may be on its way."""

_TOTALS: Final = """
    SELECT market, sum(balance_micros)::text FROM walras.accounts
    GROUP BY market HAVING sum(balance_micros) <> 0
"""
_COMMITS: Final = """
    SELECT window_id, (extract(epoch FROM committed_at) * 1000000)::bigint * 1000
    FROM ledger."window" ORDER BY window_id
"""


class Reader:
    """Adds up all balances, all the time; only a server that is down keeps it from it."""

    def __init__(self, dsn: str) -> None:
        self.reads = 0
        self.wrong: list[str] = []
        self._dsn = dsn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="reader")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._thread.is_alive():
            self.wrong.append("the reader has ended by itself")
        self._over.set()
        self._thread.join()

    def _read_on(self) -> None:
        while not self._over.wait(READ_EVERY_S):
            # A server that was killed or is not up yet: it is asked again.
            with suppress(ServerUnreachable, psycopg.OperationalError), connect(self._dsn) as conn:
                self._read_while_it_answers(conn)

    def _read_while_it_answers(self, conn: Connection) -> None:
        while not self._over.wait(READ_EVERY_S):
            wrong = conn.execute(_TOTALS).fetchall()
            self.reads += 1
            self.wrong += [f"all balances of {market} came to {total}" for market, total in wrong]


def condensed(content: Content) -> bytes:
    """A few bytes that are equal for equal results; all of a long run do not fit into memory."""
    return sha256(json.dumps(content, sort_keys=True).encode()).digest()


def lag_windows(servers: Servers) -> int:
    """How many windows are closed, as a later message is in the log, and not in the ledger."""
    end = log_ends(servers.nats_url, shards=1)[0]
    with connect(servers.postgres_dsn) as ledger:
        standing = read_progress(ledger).get(0)
    applied_ns = standing.stream_time_ns if standing else 0
    return max(0, end.last_ns // WINDOW_NS - (applied_ns or end.first_ns) // WINDOW_NS - 1)


def caught_up_after_s(servers: Servers, *, within_s: float) -> float | None:
    """How long it takes until no closed window is missing; None if longer than that."""
    began_s = time.monotonic()
    while (took_s := time.monotonic() - began_s) < within_s:
        if lag_windows(servers) == 0:
            return took_s
        time.sleep(LOOK_AGAIN_S)
    return None


@dataclass(frozen=True, slots=True)
class Recovery:
    """From a kill to the commit of the window that was open then, or of the first after it."""

    kill: Injected
    took_s: float
    alone: bool
    """Nothing else was hurt meanwhile, and nothing before it was still felt."""


def commits(ledger: Connection) -> list[tuple[int, int]]:
    """Each window with a row, and when it was committed."""
    return [(int(window_id), int(at_ns)) for window_id, at_ns in ledger.execute(_COMMITS)]


def recovery(
    kill: Injected, committed: Sequence[tuple[int, int]], injected: list[Injected]
) -> Recovery | None:
    """How long a kill was felt; None if no window was committed after it.

    What was closed before the kill does not count: its commit may have been under way.
    """
    open_then = kill.began_ns // WINDOW_NS
    kept_up = any(
        window_id >= open_then - BEHIND_WINDOWS and at_ns < kill.began_ns
        for window_id, at_ns in committed
    )
    for window_id, at_ns in committed:
        if at_ns > kill.began_ns and window_id >= open_then:
            took_s = (at_ns - kill.began_ns) / NS_PER_S
            return Recovery(kill, took_s, kept_up and alone(kill, at_ns, injected))
    return None
