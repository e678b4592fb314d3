"""An embedded nats-server on a loopback port, with its streams in a folder.

Promise: two servers never write the same folder, and on Linux the server ends with the thread that
started it, whatever ends that thread. The port is kept, so that clients find a restarted server.
With accounts the streams belong to one of them; those that were made without accounts move to it,
and back, as they are: their files say nothing of the account.
"""

import ctypes
import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from connectors.embedded.leftovers import send
from connectors.embedded.locks import FileLock
from state.errors import ServerUnreachable, SettingsError

CONFIG: Final = Path(__file__).parent.parent / "nats" / "nats.conf"
ACCOUNTS_CONFIG: Final = CONFIG.with_name("accounts.conf")
NO_ACCOUNT: Final = "$G"
"""Whose streams they are on a server without accounts."""
HOST: Final = "127.0.0.1"
READY_DEADLINE_S: Final = 20.0
STOP_DEADLINE_S: Final = 10.0
ORPHAN_DEADLINE_S: Final = 3.0
POLL_INTERVAL_S: Final = 0.02
PORT_MAX: Final = 65_535
PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A running server and its address."""

    process: subprocess.Popen[bytes]
    url: str

    def stop(self) -> None:
        """Shut it down; kill it when that takes too long."""
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Accounts(msgspec.Struct, frozen=True):
    """What the server knows of who may connect; nothing of it is secret."""

    operator: str
    """The operator's JWT."""
    system_account: str
    house_account: str
    """The account with the streams."""
    jwts: dict[str, str]
    """Public key to JWT of the accounts that the server starts with."""


def start_nats(folder: Path, *, shards: int, accounts: Accounts | None = None) -> NatsServer:
    """Start the server on the folder's last port, or on a free one if that is taken.

    Without `accounts` whoever connects may do everything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock") as lock:
        _take_lock(lock, folder)
        _place_streams(folder, accounts.house_account if accounts else NO_ACCOUNT)
        setup = _with_accounts(folder, accounts) if accounts else _without_accounts(shards)
        for port in (_last_port(folder), _free_port()):
            server = _start_on(port, folder, lock, setup) if port else None
            if server:
                return server
    raise _failed(folder)


def stop_orphan(folder: Path) -> None:
    """Stop the server of the folder if it outlived its supervisor."""
    if folder.exists():
        with FileLock(folder / "lock") as lock:
            _take_lock(lock, folder)


def is_reachable(url: str, folder: Path) -> bool:
    """Whether the nats-server of this folder accepts connections at `url`."""
    host, _, port = url.removeprefix("nats://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            greeting = connection.makefile("rb").readline()
        return bool(json.loads(greeting.removeprefix(b"INFO "))["server_name"] == _name(folder))
    except (OSError, ValueError, KeyError):
        return False


def executable() -> Path:
    """The nats-server of this environment, or the one on the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    if not found:
        raise SettingsError(
            "nats-server is not installed",
            detail=f"it is neither at {beside} nor on the PATH",
            hint="Install walras again (in a clone: `make setup`), or set WALRAS_NATS_URL",
        )
    return Path(found)


@dataclass(frozen=True, slots=True)
class _Setup:
    """A configuration file, and the values that it takes from the environment."""

    config: Path
    environment: dict[str, str]


def _without_accounts(shards: int) -> _Setup:
    return _Setup(CONFIG, {"NATS_MARKETS": _market_mapping(shards)})


def _with_accounts(folder: Path, accounts: Accounts) -> _Setup:
    """The accounts lie where the server looks for them, beside those that were pushed to it."""
    known = folder / "accounts"
    known.mkdir(mode=0o700, exist_ok=True)
    for account, jwt in accounts.jwts.items():
        (known / f"{account}.jwt").write_text(jwt)
    environment = {
        "NATS_OPERATOR": accounts.operator,
        "NATS_SYSTEM_ACCOUNT": accounts.system_account,
        "NATS_ACCOUNTS": json.dumps(str(known), ensure_ascii=False),
    }
    return _Setup(ACCOUNTS_CONFIG, environment)


def _place_streams(folder: Path, account: str) -> None:
    """Give the streams to the account; a folder holds those of one deployment."""
    store = folder / "jetstream"
    owners = [found.parent for found in store.glob("*/streams")]
    if len(owners) == 1 and owners[0].name != account:
        placed = store / account
        if placed.exists():
            placed.rmdir()  # the server makes one for each account, empty
        owners[0].rename(placed)


def _start_on(port: int, folder: Path, lock: FileLock, setup: _Setup) -> NatsServer | None:
    """The server once it is reachable; None if it ended, as it does when the port is taken."""
    process = subprocess.Popen(
        _command(port, folder, setup.config),
        env=setup.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[lock.fileno()],  # the server holds the lock until it ends
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - it makes one system call only
    )
    server = NatsServer(process=process, url=f"nats://{HOST}:{port}")
    if not _ready(server, folder):
        return None
    (folder / "port").write_text(str(port))
    return server


def _command(port: int, folder: Path, config: Path) -> list[str | Path]:
    listen: list[str | Path] = ["-a", HOST, "-p", str(port)]
    files: list[str | Path] = ["-sd", folder, "-P", folder / "pid", "-l", folder / "log"]
    return [executable(), "-c", config, "-n", _name(folder), *listen, *files]


def _name(folder: Path) -> str:
    """The name of the folder's server, which no other server on the port has."""
    return f"walras-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def _market_mapping(shards: int) -> str:
    return f'"shard.{{{{partition({shards},1)}}}}.market.{{{{wildcard(1)}}}}.>"'


def _ready(server: NatsServer, folder: Path) -> bool:
    deadline_at_s = time.monotonic() + READY_DEADLINE_S
    while server.process.poll() is None:
        if is_reachable(server.url, folder):
            return True
        if time.monotonic() > deadline_at_s:
            server.stop()
        time.sleep(POLL_INTERVAL_S)
    return False


def _take_lock(lock: FileLock, folder: Path) -> None:
    """Take the lock of the folder, ending a server that outlived its supervisor and holds it."""
    pid_file = folder / "pid"
    for request in (None, signal.SIGTERM, signal.SIGKILL):
        if request:
            send(request, pid_file, _name(folder))
        if lock.wait_exclusive(deadline_s=ORPHAN_DEADLINE_S):
            pid_file.unlink(missing_ok=True)
            return
    raise _failed(folder)


def _die_with_parent() -> Callable[[], None] | None:
    """What a new child runs first: it asks Linux for a SIGTERM when its parent ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _last_port(folder: Path) -> int | None:
    try:
        port = int((folder / "port").read_text())
    except (OSError, ValueError):
        return None
    return port if 0 < port <= PORT_MAX else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _failed(folder: Path) -> ServerUnreachable:
    log = folder / "log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return ServerUnreachable(
        "the embedded nats-server did not start",
        detail=lines[-1] if lines else "its log is empty",
        hint=f"Read {log}",
    )
