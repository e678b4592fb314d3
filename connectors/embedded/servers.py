"""The embedded servers for their users: running for a block, shared with other processes.

Promise: the first user of a folder starts them, the last one stops them, also after a crash or a
kill of any of the processes; two users that start at once share one pair of servers.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from connectors.embedded import nats_server, postgres_server
from connectors.embedded.leftovers import send
from connectors.embedded.locks import FileLock, exclusive
from connectors.embedded.nats_server import Accounts
from connectors.embedded.supervisor import Failure, Record, Request, ServerFolder, StartReply
from state.errors import ServerUnreachable, SettingsError

SUPERVISOR: Final = "connectors.embedded.supervisor"
CODE: Final = Path(__file__).parent.parent.parent
START_DEADLINE_S: Final = 180.0
STOP_DEADLINE_S: Final = 150.0
KILL_DEADLINE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the two servers are."""

    nats_url: str
    postgres_dsn: str


@contextmanager
def embedded(root: Path, *, shards: int, accounts: Accounts | None = None) -> Iterator[Servers]:
    """Use the servers of the folder `root`, made for so many shards.

    Without `accounts` whoever reaches NATS may do everything.
    """
    folder = ServerFolder(root.resolve())
    make_folder(folder.root)
    with FileLock(folder.users_lock) as users:
        record = _enter(folder, users, Request(shards=shards, accounts=accounts))
        try:
            yield Servers(nats_url=record.nats_url, postgres_dsn=record.postgres_dsn)
        finally:
            _leave(folder, users)


@contextmanager
def kept_running(root: Path) -> Iterator[None]:
    """Keep the running servers of the folder `root` from stopping during the block."""
    folder = ServerFolder(root.resolve())
    with FileLock(folder.users_lock) as users:
        with exclusive(folder.startup_lock, deadline_s=START_DEADLINE_S):
            shared = users.try_shared()
            assert shared, "only a supervisor with the startup lock holds this lock exclusively"
        try:
            yield
        finally:
            _leave(folder, users)


def has_data(root: Path) -> bool:
    """Whether a Postgres was ever started in the folder `root`."""
    try:
        return (ServerFolder(root).postgres / "PG_VERSION").exists()
    except OSError:
        return False


def recorded(root: Path) -> str | None:
    """The NATS address that the running servers of the folder `root` have recorded."""
    record = _read(ServerFolder(root).record)
    return record.nats_url if record else None


def make_folder(root: Path) -> None:
    """Make the folder of embedded servers; `SettingsError` when it cannot be written to."""
    if wrong := postgres_server.refused_letters(root):
        raise _no_folder(root, f"Postgres cannot be started in a path with {' '.join(wrong)}")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise _no_folder(root, refused.strerror or str(refused)) from refused
    if not os.access(root, os.W_OK | os.X_OK):
        raise _no_folder(root, "it cannot be written to")


def _no_folder(root: Path, reason: str) -> SettingsError:
    return SettingsError(
        "the folder of the embedded servers cannot be used",
        detail=f"{root}: {reason}",
        hint="Set WALRAS_HOME to a folder that you can write to",
    )


def _enter(folder: ServerFolder, users: FileLock, request: Request) -> Record:
    with exclusive(folder.startup_lock, deadline_s=START_DEADLINE_S):
        shared = users.try_shared()
        assert shared, "only a supervisor with the startup lock holds this lock exclusively"
        record = _running(folder) or _start_supervisor(folder, request)
    _check_running(record, request, folder)
    return record


def _check_running(record: Record, request: Request, folder: ServerFolder) -> None:
    """Raise where the servers that run are not those that were asked for."""
    if record.shards != request.shards:
        raise SettingsError(
            "the embedded servers run with another number of shards",
            detail=f"{folder.root} runs with {record.shards} shards, "
            f"WALRAS_SHARDS is {request.shards}",
            hint=f"Set WALRAS_SHARDS={record.shards}, or another folder in WALRAS_HOME: "
            "a market cannot move to another shard",
        )
    if record.house_account != (request.accounts and request.accounts.house_account):
        runs = "without authentication" if record.house_account is None else "with other keys"
        raise SettingsError(
            "the embedded servers run with another authentication",
            detail=f"those in {folder.root} run {runs}",
            hint="Use the WALRAS_NATS_AUTH and the keys of the process that started them",
        )


def _leave(folder: ServerFolder, users: FileLock) -> None:
    with exclusive(folder.startup_lock, deadline_s=STOP_DEADLINE_S):
        users.release()
        if users.try_exclusive():
            _stop_supervisor(folder)


def _running(folder: ServerFolder) -> Record | None:
    """The running servers if both are reachable; otherwise the rest of them is stopped."""
    with FileLock(folder.supervisor_lock) as lock:
        if lock.try_exclusive():
            return None
    record = _read(folder.record)
    if (
        record
        and nats_server.is_reachable(record.nats_url, folder.nats)
        and postgres_server.is_reachable(record.postgres_dsn)
    ):
        return record
    _stop_supervisor(folder)
    return None


def _read(file: Path) -> Record | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def _start_supervisor(folder: ServerFolder, request: Request) -> Record:
    command = [sys.executable, "-m", SUPERVISOR, str(folder.root)]
    with folder.log.open("wb") as log:
        try:
            supervisor = subprocess.run(
                command,
                cwd=CODE,
                input=msgspec.json.encode(request),
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=START_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise _not_started(folder, f"not ready within {START_DEADLINE_S:.0f} s") from late
    return _record_of(supervisor.stdout, folder)


def _record_of(written: bytes, folder: ServerFolder) -> Record:
    if not written:
        raise _not_started(folder, "their supervisor ended without a reply")
    reply: StartReply = msgspec.json.decode(written, type=Record | Failure)
    if isinstance(reply, Failure):
        hint = f"{reply.hint}, and {folder.log}"
        raise ServerUnreachable(reply.what, detail=reply.detail, hint=hint)
    return reply


def _stop_supervisor(folder: ServerFolder) -> None:
    """Let the supervisor stop its servers, within a deadline, then stop what is left of them."""
    with FileLock(folder.supervisor_lock) as lock:
        for request, deadline_s in (
            (signal.SIGTERM, STOP_DEADLINE_S),
            (signal.SIGKILL, KILL_DEADLINE_S),
        ):
            if lock.try_exclusive():
                break
            send(request, folder.pid, SUPERVISOR, str(folder.root))
            lock.wait_exclusive(deadline_s=deadline_s)
    nats_server.stop_orphan(folder.nats)
    postgres_server.stop_orphan(folder.postgres)


def _not_started(folder: ServerFolder, detail: str) -> ServerUnreachable:
    return ServerUnreachable(
        "the embedded servers did not start", detail=detail, hint=f"Read {folder.log}"
    )
