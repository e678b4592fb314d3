"""Which deployment runs in a folder: one at a time, and every other command finds it there.

Promise: who runs a deployment on the embedded servers holds a lock of their folder for as long as
it lives, so a record that an ended process left behind counts for nothing. Servers of the user's
own have no such folder: there the fencing in the ledger decides, also between hosts.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from connectors.embedded.locks import FileLock
from connectors.embedded.servers import has_data, make_folder
from flows.runtime.servers import Servers, home_of
from flows.runtime.settings import Settings
from state.errors import SettingsError, WalrasError

LOCK: Final = "deployment.lock"
RECORD: Final = "deployment.json"
JOINED: Final = (
    *("nats_url", "postgres_dsn", "nats_auth", "nats_creds", "nats_ca", "shards", "window_ms"),
)
"""Settings that the deployment of a folder knows."""
LOOK_S: Final = 2.0
"""Longer than a reader holds the lock, and than a record takes to be written."""
START_DEADLINE_S: Final = 120.0
STOP_DEADLINE_S: Final = 90.0
POLL_INTERVAL_S: Final = 0.1


class Deployment(msgspec.Struct, frozen=True):
    """What runs in a folder; its addresses are there once it is ready."""

    command: str
    pid: int
    since_s: int
    shards: int
    window_ms: int
    nats_auth: Literal["accounts", "none"] = "accounts"
    nats_creds: Path | None = None
    nats_ca: Path | None = None
    nats_url: str | None = None
    postgres_dsn: str | None = None

    @property
    def who(self) -> str:
        """For a person: what runs, in which process and since when."""
        since = datetime.fromtimestamp(self.since_s, UTC)
        return f"`walras {self.command}` runs as pid {self.pid} since {since:%Y-%m-%d %H:%M:%S} UTC"


Announce = Callable[[Servers], None]
"""Says where the servers of a deployment are, once it is ready for others."""


@contextmanager
def claimed(settings: Settings, command: str, *, replace: bool = False) -> Iterator[Announce]:
    """Be the one deployment of the folder for a block.

    Raises `SettingsError` when another one runs there; with `replace` it is stopped first.
    """
    home = home_of(settings)
    if home is None:
        yield lambda _servers: None
        return
    make_folder(home.resolve())
    record = home / RECORD
    with FileLock(home / LOCK) as lock:
        _take(lock, home, replace=replace)
        ours = Deployment(
            command=command,
            pid=os.getpid(),
            since_s=int(time.time()),
            shards=settings.shards,
            window_ms=settings.window_ms,
            nats_auth=settings.nats_auth,
            nats_creds=settings.nats_creds and settings.nats_creds.resolve(),
            nats_ca=settings.nats_ca and settings.nats_ca.resolve(),
        )
        _write(record, ours)
        try:
            yield lambda servers: _write(record, _at(ours, servers))
        finally:
            record.unlink(missing_ok=True)


def running(home: Path) -> Deployment | None:
    """The deployment that runs in the folder, ready or not."""
    file = home / LOCK
    if not os.access(file, os.R_OK | os.W_OK):
        return None
    give_up_at_s = time.monotonic() + LOOK_S
    while True:
        with FileLock(file) as lock:
            if lock.try_shared():
                return None
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(
                (home / RECORD).read_bytes(), type=Deployment, dec_hook=_decode
            )
        if time.monotonic() > give_up_at_s:
            return None
        time.sleep(POLL_INTERVAL_S)


def for_reading(settings: Settings) -> Settings:
    """The settings of a command that reads: those of the running deployment, where there is one.

    Raises `SettingsError` where there is no ledger to read.
    """
    settings = joined(settings) or settings
    if not _named(settings) and not has_data(settings.home):
        raise SettingsError(
            "there is no ledger here yet",
            detail=f"looked in {settings.home.resolve()}",
            hint="Run `walras up` or `walras demo` here, go to the folder where one ran, set "
            "WALRAS_HOME to its .walras, or choose a deployment with `walras context use`",
        )
    return settings


def for_trading(settings: Settings) -> Settings:
    """The settings of a command that needs a running deployment to answer it."""
    settings = joined(settings) or settings
    if not _named(settings):
        raise SettingsError(
            "no deployment runs here",
            detail=f"looked in {settings.home.resolve()}",
            hint="Start `walras up` in another terminal, set WALRAS_HOME to the .walras of a "
            "running one, or choose one with `walras context use`",
        )
    return settings


def joined(settings: Settings) -> Settings | None:
    """The settings, with what the deployment of their folder knows where they say nothing.

    None when no deployment runs there, or when it runs on other servers than they name.
    """
    home = home_of(settings)
    found = running(home) if home else None
    if found is None or home is None:
        return None
    found = _ready(found, home)
    if settings.nats_url not in (None, found.nats_url):
        return None
    ours: dict[str, Any] = {"home": home}
    for name in JOINED:
        if name not in settings.model_fields_set:
            ours[name] = getattr(found, name)
    return settings.model_copy(update=ours)


def _ready(found: Deployment, home: Path) -> Deployment:
    """The same deployment, once it has said where its servers are."""
    give_up_at_s = time.monotonic() + START_DEADLINE_S
    while found.nats_url is None:
        if time.monotonic() > give_up_at_s:
            raise WalrasError(
                "the deployment is not ready yet",
                detail=f"{found.who} in {home.resolve()}",
                hint="Read what it prints, and try again",
            )
        time.sleep(POLL_INTERVAL_S)
        again = running(home)
        if again is None:
            raise WalrasError(
                "the deployment ended before it was ready",
                detail=f"{found.who.replace(' runs ', ' ran ')} in {home.resolve()}",
                hint="Read what it printed, and start it again",
            )
        found = again
    return found


def _take(lock: FileLock, home: Path, *, replace: bool) -> None:
    """Take the lock of the folder, from its holder if it is to be replaced."""
    if lock.wait_exclusive(deadline_s=LOOK_S):
        return
    holder = running(home)
    who = holder.who if holder else "another walras is starting or stopping"
    if holder is None or not replace:
        raise SettingsError(
            "a deployment runs in this folder",
            detail=f"{who}, in {home.resolve()}",
            hint="Use it from other terminals as it is, take over with `walras up --replace`, or "
            "set another WALRAS_HOME",
        )
    with suppress(ProcessLookupError):
        os.kill(holder.pid, signal.SIGTERM)
    if not lock.wait_exclusive(deadline_s=STOP_DEADLINE_S):
        raise WalrasError(
            "the running deployment does not stop",
            detail=f"{who}, in {home.resolve()}; it was asked to {STOP_DEADLINE_S:.0f} s ago",
            hint=f"Look at what it does, or end it with kill -9 {holder.pid}: nothing is lost",
        )


def _named(settings: Settings) -> bool:
    return settings.nats_url is not None and settings.postgres_dsn is not None


def _at(ours: Deployment, servers: Servers) -> Deployment:
    return msgspec.structs.replace(
        ours, nats_url=servers.plain_nats_url, postgres_dsn=servers.postgres_dsn
    )


def _decode(kind: type, value: Any) -> Any:
    return kind(value)


def _write(record: Path, deployment: Deployment) -> None:
    """Replace the record as a whole; it may hold a password, so nobody else reads it."""
    draft = record.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(deployment, enc_hook=str))
    draft.replace(record)
