"""The embedded servers as their users see them: there for a block, shared with other processes.

Promise: the first user of a folder starts them, the last one stops them, also after a crash or a
kill of any of them; two that start at once share one pair.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from connectors.embedded import nats_server, postgres_server
from connectors.embedded.locks import FileLock, alone
from connectors.embedded.supervisor import Answer, Failure, House, Record
from state.errors import ServerUnreachable, SettingsError

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
def embedded(root: Path, *, shards: int) -> Iterator[Servers]:
    """Use the servers of the folder `root`, made for so many shards."""
    house = House(root.resolve())
    _make_folder(house.root)
    with FileLock(house.users) as users:
        record = _enter(house, users, shards)
        try:
            yield Servers(nats_url=record.nats_url, postgres_dsn=record.postgres_dsn)
        finally:
            _leave(house, users)


def _make_folder(root: Path) -> None:
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
        hint="Set WALRAS_HOME to a folder of yours, on a disk that can be written to",
    )


def _enter(house: House, users: FileLock, shards: int) -> Record:
    with alone(house.door, deadline_s=START_DEADLINE_S):
        shared = users.try_shared()
        assert shared, "only a keeper behind a shut door holds this lock alone"
        record = _running(house) or _start_keeper(house, shards)
    if record.shards != shards:
        raise SettingsError(
            "the embedded servers run with another number of shards",
            detail=f"{house.root}: {record.shards} shards, asked for {shards}",
            hint="Set it back, or use another folder: a market cannot change its shard",
        )
    return record


def _leave(house: House, users: FileLock) -> None:
    with alone(house.door, deadline_s=STOP_DEADLINE_S):
        users.release()
        if users.try_alone():
            _stop_keeper(house)


def _running(house: House) -> Record | None:
    """The servers that run, when they answer; else what is left of them is stopped."""
    with FileLock(house.life) as life:
        if life.try_alone():
            return None
    record = _read(house.record)
    if (
        record
        and nats_server.answers(record.nats_url, house.nats)
        and postgres_server.answers(record.postgres_dsn)
    ):
        return record
    _stop_keeper(house)
    return None


def _read(file: Path) -> Record | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def _start_keeper(house: House, shards: int) -> Record:
    command = [sys.executable, "-m", "connectors.embedded.supervisor", str(house.root), str(shards)]
    with house.log.open("wb") as log:
        try:
            keeper = subprocess.run(
                command,
                cwd=CODE,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=START_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise _not_started(house, f"not ready in {START_DEADLINE_S:.0f} s") from late
    return _record_of(keeper.stdout, house)


def _record_of(told: bytes, house: House) -> Record:
    if not told:
        raise _not_started(house, "their keeper ended without a word")
    answer: Answer = msgspec.json.decode(told, type=Record | Failure)
    if isinstance(answer, Failure):
        hint = f"{answer.hint}, and {house.log}"
        raise ServerUnreachable(answer.what, detail=answer.detail, hint=hint)
    return answer


def _stop_keeper(house: House) -> None:
    """Let the keeper stop its servers, within a deadline, and stop what it could not."""
    with FileLock(house.life) as life:
        for request, deadline_s in (
            (signal.SIGTERM, STOP_DEADLINE_S),
            (signal.SIGKILL, KILL_DEADLINE_S),
        ):
            if life.try_alone():
                break
            with suppress(ProcessLookupError):
                os.kill(int(house.pid.read_text()), request)
            life.take_alone(deadline_s=deadline_s)
    nats_server.stop_left(house.nats)
    postgres_server.stop_left(house.postgres)


def _not_started(house: House, detail: str) -> ServerUnreachable:
    return ServerUnreachable(
        "the embedded servers did not start", detail=detail, hint=f"Read {house.log}"
    )
