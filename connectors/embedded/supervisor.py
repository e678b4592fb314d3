"""The process that keeps the embedded servers: it starts them, and stops them after the last user.

Run as `python -m connectors.embedded.supervisor ROOT SHARDS`; it goes on in a session of its own,
so that a Ctrl-C in the terminal stops the flow first and the servers under it last. Promise: the
servers end when no process uses them, however their users ended; as long as the keeper lives, it
holds the lock that says so.
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
from connectors.embedded.nats_server import NatsServer, start_nats
from connectors.embedded.postgres_server import start_postgres
from state.errors import WalrasError

LOOK_AGAIN_S: Final = 0.5


class Record(msgspec.Struct, frozen=True, tag=True):
    """What the keeper tells everyone who wants to use its servers."""

    nats_url: str
    postgres_dsn: str
    shards: int


class Failure(msgspec.Struct, frozen=True, tag=True):
    """Why there is nothing to keep."""

    what: str
    detail: str
    hint: str


Answer = Record | Failure


@dataclass(frozen=True, slots=True)
class House:
    """The folder of the embedded servers and what lies in it."""

    root: Path

    @property
    def door(self) -> Path:
        """Lock of whoever starts or stops the servers."""
        return self.root / "door.lock"

    @property
    def users(self) -> Path:
        """Lock that every user of the servers shares."""
        return self.root / "users.lock"

    @property
    def life(self) -> Path:
        """Lock of the keeper, for as long as it lives."""
        return self.root / "keeper.lock"

    @property
    def pid(self) -> Path:
        return self.root / "keeper.pid"

    @property
    def log(self) -> Path:
        return self.root / "keeper.log"

    @property
    def record(self) -> Path:
        return self.root / "servers.json"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"


def keep(house: House, *, shards: int) -> None:
    """Start both servers, tell whoever asked, and stop both after the last user."""
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    with FileLock(house.door) as door, FileLock(house.users) as users, ExitStack() as running:
        nats = start_nats(house.nats, shards=shards)
        running.callback(nats.stop)
        postgres = start_postgres(house.postgres)
        running.callback(postgres.stop)
        record = Record(nats_url=nats.url, postgres_dsn=postgres.dsn, shards=shards)
        with _recorded(house.record, record):
            _tell(record)
            _until_unused(door, users, nats, told_to_stop)


def _until_unused(
    door: FileLock, users: FileLock, nats: NatsServer, told_to_stop: threading.Event
) -> None:
    """Return with the door shut behind the last user, or told to stop, or with a server gone."""
    while not told_to_stop.wait(LOOK_AGAIN_S) and nats.process.poll() is None:
        if door.try_alone():
            if users.try_alone():
                return
            door.release()


@contextmanager
def _recorded(file: Path, record: Record) -> Iterator[None]:
    """Let others find the servers for a block; the file appears whole."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(record))
    draft.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _tell(answer: Answer) -> None:
    """Write to whoever started us, and hang up."""
    os.write(sys.stdout.fileno(), msgspec.json.encode(answer))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main(root: str, shards: str) -> None:
    """Live until nobody uses the servers."""
    house = House(Path(root))
    os.chdir(house.root)  # Postgres runs as another user than root, who must be able to stand here
    with FileLock(house.life) as life:
        unkept = life.try_alone()
        assert unkept, "whoever starts a keeper holds the door and has seen that none lives"
        house.pid.write_text(str(os.getpid()))
        try:
            keep(house, shards=int(shards))
        except WalrasError as failure:
            _tell(Failure(what=failure.what, detail=failure.detail, hint=failure.hint))


if __name__ == "__main__" and os.fork() == 0:
    # The child of a process that has ended is nobody's child: whoever started us may end before us.
    os.setsid()
    main(*sys.argv[1:])
