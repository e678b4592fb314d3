"""The commit step: each closed window into the ledger, however often Postgres goes away meanwhile.

Promise: a window is passed on only when it is in the ledger. An outage is waited out with growing
pauses up to a limit, told once when it begins and once when it ends; a commit whose answer was lost
is tried again and found applied, so it is never applied twice. Whoever waits here is let go at once
when the writer is closed, also by a server that has fallen silent.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR, socket
from threading import Event, Lock
from typing import Final, TypeVar

import psycopg
from psycopg import Connection, OperationalError
from psycopg.errors import IdleInTransactionSessionTimeout, ReadOnlySqlTransaction

from connectors.postgres.connection import connect, unreachable
from connectors.postgres.ledger.transaction import commit_window, mark_published
from state.errors import ServerUnreachable, WalrasError
from state.shard import ShardState, Token
from state.window import ClosedWindow

log = logging.getLogger(__name__)

Passing = psycopg.Error | ServerUnreachable
Connect = Callable[[str], Connection]

T = TypeVar("T")

# What passes when one tries again: lost connections, shutdowns, deadlocks and serialization
# failures; a standby that is not yet promoted; a pause of ours that the server did not wait for.
_PASSING: Final = (
    OperationalError,
    ServerUnreachable,
    ReadOnlySqlTransaction,
    IdleInTransactionSessionTimeout,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The pauses between tries: they double from `first_s` to `longest_s`, `in_all_s` together."""

    first_s: float = 0.1
    longest_s: float = 1.0
    in_all_s: float = 120.0

    def pauses(self) -> Iterator[float]:
        pause, left = self.first_s, self.in_all_s
        while left > 0:
            yield min(pause, left)
            left -= pause
            pause = min(2 * pause, self.longest_s)


class LedgerWriter:
    """Writes one shard with the right that its claim gave, over one connection."""

    def __init__(
        self, dsn: str, *, shard: int, token: Token, patience: Patience, connect: Connect = connect
    ) -> None:
        self._dsn = dsn
        self._connect = connect
        self._shard = shard
        self._token = token
        self._patience = patience
        self._conn: Connection | None = None
        self._in_use = Lock()
        self._closed = Event()

    def commit(self, closed: ClosedWindow) -> tuple[ClosedWindow]:
        """Commit a window of the shard, and pass it on."""
        self._run(lambda conn: commit_window(conn, closed, token=self._token))
        return (closed,)

    def mark_published(self, window_id: int) -> None:
        """Remember that all results up to this window are out."""
        self._run(lambda conn: mark_published(conn, self._shard, window_id, token=self._token))

    def close(self) -> None:
        """Let go of Postgres for good: what waits for it fails, and nothing is tried again."""
        self._closed.set()
        if self._in_use.acquire(blocking=False):
            self._drop()
            self._in_use.release()
        else:
            _hang_up(self._conn)

    def _run(self, work: Callable[[Connection], T]) -> T:
        with self._in_use:
            try:
                return self._try(work)
            except _PASSING as lost:
                return self._try_again(work, lost)
            except psycopg.Error as refusal:
                raise _refused(self._shard, refusal) from refusal

    def _try(self, work: Callable[[Connection], T]) -> T:
        self._conn = conn = self._conn or self._connect(self._dsn)
        try:
            if self._closed.is_set():
                raise _closed(self._shard)
            return work(conn)
        except _PASSING:
            self._drop()
            raise

    def _try_again(self, work: Callable[[Connection], T], lost: Passing) -> T:
        if not self._closed.is_set():
            log.warning("shard %d waits: %s", self._shard, _outage(lost))
        for pause_s in self._patience.pauses():
            if self._closed.wait(pause_s):
                raise _closed(self._shard) from lost
            try:
                done = self._try(work)
            except _PASSING as again:
                lost = again
            else:
                log.info("shard %d goes on: Postgres answers again", self._shard)
                return done
        raise _outage(lost) from lost

    def _drop(self) -> None:
        """Give the connection back; the next use opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


def _hang_up(conn: Connection | None) -> None:
    """Cut the line under whoever waits for an answer on it."""
    # Where it has ended in this very moment, nobody waits any more.
    with suppress(OSError, OperationalError):
        if conn is not None:
            with socket(fileno=os.dup(conn.fileno())) as line:
                line.shutdown(SHUT_RDWR)


def _closed(shard: int) -> ServerUnreachable:
    return ServerUnreachable(
        f"a window of shard {shard} is not known to be in the ledger",
        detail="the flow ended while it waited for Postgres",
        hint="Nothing is lost: the next start reads the log from the ledger's position",
    )


def _refused(shard: int, refusal: psycopg.Error) -> WalrasError:
    return WalrasError(
        f"Postgres refused a window of shard {shard}",
        detail=" ".join(str(refusal).split()),
        hint="`walras doctor` compares its schema; was it changed, or is it being restored?",
    )


def _outage(lost: Passing) -> ServerUnreachable:
    return lost if isinstance(lost, ServerUnreachable) else unreachable(lost)


@dataclass(frozen=True, slots=True)
class LedgerWriters:
    """The writers of all shards of a process, one connection each, made at first use."""

    dsn: str
    claims: Mapping[int, ShardState]
    patience: Patience = field(default_factory=Patience)
    connect: Connect = connect
    _writers: dict[int, LedgerWriter] = field(default_factory=dict, init=False)

    def of(self, shard: int) -> LedgerWriter:
        """The writer of a shard."""
        made = LedgerWriter(
            self.dsn,
            shard=shard,
            token=self.claims[shard].token,
            patience=self.patience,
            connect=self.connect,
        )
        return self._writers.setdefault(shard, made)

    def commit_step(self, shard: int) -> Callable[[ClosedWindow], tuple[ClosedWindow]]:
        """The commit step of a shard."""
        return self.of(shard).commit

    def mark_published(self, shard: int, window_id: int) -> None:
        """Remember that all results of a shard up to this window are out."""
        self.of(shard).mark_published(window_id)

    def close(self) -> None:
        """Let go of Postgres for good; see `LedgerWriter.close`."""
        for writer in list(self._writers.values()):
            writer.close()
