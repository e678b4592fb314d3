"""The process that starts the embedded servers, and stops them after their last user.

Run as `python -m connectors.embedded.supervisor ROOT` with a `Request` on stdin; it runs in a
session of its own, so that a Ctrl-C in the terminal stops the flow first and the servers last.
Promise: the servers stop
when no process uses them, however their users ended; the supervisor holds its lock until it ends.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from connectors.embedded.locks import FileLock
from connectors.embedded.nats_server import Accounts, NatsServer, start_nats
from connectors.embedded.postgres_server import start_postgres
from state.errors import WalrasError

POLL_INTERVAL_S: Final = 0.5


class Request(msgspec.Struct, frozen=True):
    """What servers are asked for."""

    shards: int
    accounts: Accounts | None


class Record(msgspec.Struct, frozen=True, tag=True):
    """Where the running servers are, in a file for all their users."""

    nats_url: str
    postgres_dsn: str
    shards: int
    house_account: str | None = None
    """The account with the streams; None where everybody may do everything."""


class Failure(msgspec.Struct, frozen=True, tag=True):
    """Why the servers did not start."""

    what: str
    detail: str
    hint: str


StartReply = Record | Failure


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """The folder of the embedded servers, and the files in it."""

    root: Path

    @property
    def startup_lock(self) -> Path:
        """Held exclusively while the servers are started or stopped."""
        return self.root / "startup.lock"

    @property
    def users_lock(self) -> Path:
        """Held shared by every user of the servers."""
        return self.root / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "supervisor.lock"

    @property
    def pid(self) -> Path:
        return self.root / "supervisor.pid"

    @property
    def log(self) -> Path:
        return self.root / "supervisor.log"

    @property
    def record(self) -> Path:
        return self.root / "servers.json"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"


def supervise(folder: ServerFolder, request: Request) -> None:
    """Start both servers, report where they are, and stop both after the last user."""
    stop_requested = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop_requested.set())
    with (
        FileLock(folder.startup_lock) as startup_lock,
        FileLock(folder.users_lock) as users_lock,
        ExitStack() as running,
    ):
        nats = start_nats(folder.nats, shards=request.shards, accounts=request.accounts)
        running.callback(nats.stop)
        postgres = start_postgres(folder.postgres)
        running.callback(postgres.stop)
        record = Record(
            nats_url=nats.url,
            postgres_dsn=postgres.dsn,
            shards=request.shards,
            house_account=request.accounts.house_account if request.accounts else None,
        )
        with _recorded(folder.record, record):
            _reply(record)
            _until_unused(startup_lock, users_lock, nats, stop_requested)


def _until_unused(
    startup_lock: FileLock, users_lock: FileLock, nats: NatsServer, stop_requested: threading.Event
) -> None:
    """Return with the startup lock after the last user; or when to stop; or when NATS has ended."""
    while not stop_requested.wait(POLL_INTERVAL_S) and nats.process.poll() is None:
        if startup_lock.try_exclusive():
            if users_lock.try_exclusive():
                return
            startup_lock.release()


@contextmanager
def _recorded(file: Path, record: Record) -> Iterator[None]:
    """Publish where the servers are for a block; the file appears as a whole."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(record))
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _reply(reply: StartReply) -> None:
    """Write to the process that started us, and close the pipe to it."""
    os.write(sys.stdout.fileno(), msgspec.json.encode(reply))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main(root: str) -> None:
    """Run until the servers have no user any more."""
    folder = ServerFolder(Path(root))
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    os.chdir(folder.root)  # where Postgres may be: for root, it runs as another user
    with FileLock(folder.supervisor_lock) as lock:
        alone = lock.try_exclusive()
        assert alone, "a supervisor is started under the startup lock, after none was found"
        folder.pid.write_text(str(os.getpid()))
        try:
            supervise(folder, request)
        except WalrasError as failure:
            _reply(Failure(what=failure.what, detail=failure.detail, hint=failure.hint))


if __name__ == "__main__" and os.fork() == 0:
    # Forked, so that the process that started us may end before us.
    os.setsid()
    main(*sys.argv[1:])
