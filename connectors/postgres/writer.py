"""The commit step: each closed window into the ledger, through every outage of Postgres.

**Promise:** a window is passed on only when it is in the ledger. An outage is retried with growing
waits up to a limit, and logged once when it begins and once when it ends; a commit whose answer was
lost is retried and found applied, so it is never applied twice. Closing the writer ends every wait
at once, also for a server that has fallen silent.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR, socket
from threading import Event, Lock
from typing import Final

import psycopg
from psycopg import Connection, OperationalError
from psycopg.errors import IdleInTransactionSessionTimeout, ReadOnlySqlTransaction

from connectors.postgres.connection import connect, unreachable
from connectors.postgres.ledger.transaction import commit_window
from state.errors import ServerUnreachable, WalrasError
from state.shard import ShardState, Token
from state.window import ClosedWindow
from walras_client.backoff import Backoff

log = logging.getLogger(__name__)

Transient = psycopg.Error | ServerUnreachable
Connect = Callable[[str], Connection]

RETRY_LIMIT_S: Final = 120.0
"""From the first failure on; what lasts longer ends the run."""

# Lost connections, shutdowns, deadlocks and serialization failures; a standby that is not promoted
# yet; a pause of this process that was longer than the server allows.
_TRANSIENT: Final = (
    OperationalError,
    ServerUnreachable,
    ReadOnlySqlTransaction,
    IdleInTransactionSessionTimeout,
)


class LedgerWriter:
    """Writes one shard with the right that its claim gave, over one connection."""

    def __init__(
        self,
        dsn: str,
        *,
        shard: int,
        token: Token,
        retry_limit_s: float,
        connect: Connect = connect,
    ) -> None:
        self._dsn = dsn
        self._connect = connect
        self._shard = shard
        self._token = token
        self._retry_limit_s = retry_limit_s
        self._conn: Connection | None = None
        self._in_use = Lock()
        self._closed = Event()

    def commit(self, closed: ClosedWindow) -> tuple[ClosedWindow]:
        """Commit a window of the shard, and pass it on."""
        backoff = Backoff(self._retry_limit_s)
        with self._in_use:
            while True:
                try:
                    self._try(closed)
                except _TRANSIENT as error:
                    self._wait(backoff, error)
                except psycopg.Error as error:
                    raise _refused(self._shard, error) from error
                else:
                    self._log_recovery(backoff)
                    return (closed,)

    def close(self) -> None:
        """Disconnect from Postgres for good: what waits for it fails, and nothing is retried."""
        self._closed.set()
        if self._in_use.acquire(blocking=False):
            self._disconnect()
            self._in_use.release()
        else:
            _shut_down(self._conn)

    def _try(self, closed: ClosedWindow) -> None:
        self._conn = conn = self._conn or self._connect(self._dsn)
        try:
            if self._closed.is_set():
                raise _closed(self._shard)
            commit_window(conn, closed, token=self._token)
        except _TRANSIENT:
            self._disconnect()
            raise

    def _wait(self, backoff: Backoff, error: Transient) -> None:
        """Wait before the next retry; raise when there is to be none."""
        if self._closed.is_set():
            raise _closed(self._shard) from error
        outage = error if isinstance(error, ServerUnreachable) else unreachable(error)
        self._log_outage(backoff, outage)
        wait_s = backoff.next_s()
        if wait_s is None:
            raise outage from error
        if self._closed.wait(wait_s):
            raise _closed(self._shard) from error

    def _log_outage(self, backoff: Backoff, outage: ServerUnreachable) -> None:
        if not backoff.is_retrying:
            log.warning(
                "shard %d: postgres unavailable, retrying: %s",
                self._shard,
                outage.detail,
                extra={"shard": self._shard},
            )

    def _log_recovery(self, backoff: Backoff) -> None:
        if backoff.is_retrying:
            log.info(
                "shard %d: postgres available again after %.0f s",
                self._shard,
                backoff.elapsed_s,
                extra={"shard": self._shard},
            )

    def _disconnect(self) -> None:
        """Close the connection; the next use opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


def _shut_down(conn: Connection | None) -> None:
    """Shut down the socket of a connection that another thread waits on."""
    # When the connection was closed at this very moment, there is nothing to end.
    with suppress(OSError, OperationalError):
        if conn is not None:
            # A duplicate, because the descriptor itself stays psycopg's to close.
            with socket(fileno=os.dup(conn.fileno())) as duplicate:
                duplicate.shutdown(SHUT_RDWR)


def _closed(shard: int) -> ServerUnreachable:
    return ServerUnreachable(
        f"a window of shard {shard} may not be in the ledger",
        detail="the flow stopped while it waited for Postgres",
        hint="Nothing is lost: the next start resumes the log at the position in the ledger",
    )


def _refused(shard: int, error: psycopg.Error) -> WalrasError:
    return WalrasError(
        f"Postgres refused a window of shard {shard}",
        detail=" ".join(str(error).split()),
        hint="Was its schema changed, or is a backup being restored? `walras doctor` compares it",
    )


@dataclass(frozen=True, slots=True)
class LedgerWriters:
    """The writers of all shards of a process, one connection each, made at first use."""

    dsn: str
    claims: Mapping[int, ShardState]
    retry_limit_s: float = RETRY_LIMIT_S
    connect: Connect = connect
    _writers: dict[int, LedgerWriter] = field(default_factory=dict, init=False)

    def of(self, shard: int) -> LedgerWriter:
        """The writer of a shard."""
        made = LedgerWriter(
            self.dsn,
            shard=shard,
            token=self.claims[shard].token,
            retry_limit_s=self.retry_limit_s,
            connect=self.connect,
        )
        return self._writers.setdefault(shard, made)

    def commit_step(self, shard: int) -> Callable[[ClosedWindow], tuple[ClosedWindow]]:
        """The commit step of a shard."""
        return self.of(shard).commit

    def close(self) -> None:
        """Disconnect from Postgres for good; see `LedgerWriter.close`."""
        for writer in list(self._writers.values()):
            writer.close()
