"""The embedded servers: running while they are used, gone when they are not."""

import os
import signal
import socket
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from connectors.embedded import nats_server, postgres_server
from connectors.embedded.servers import Servers, embedded
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.topology import identity
from state.errors import ServerUnreachable, SettingsError
from tests.connectors.embedded.processes import (
    User,
    eventually,
    gone,
    running,
    servers_running,
    supervisor_of,
    user_of,
)
from tests.support.nats_logs import make_streams

BOTH: Final = ["nats-server", "postgres"]


def assert_reachable(servers: Servers, root: Path) -> None:
    assert nats_server.is_reachable(servers.nats_url, root / "nats")
    assert postgres_server.is_reachable(servers.postgres_dsn)


def text_in_ledger(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM kept")]


def test_they_start_and_stop_and_keep_what_they_hold(bare: Path) -> None:
    """A market that is stopped for the night must be there in the morning."""
    with embedded(bare, shards=2) as servers:
        assert_reachable(servers, bare)
        assert BOTH == servers_running(bare)
        with open_on_loop(connected(servers.nats_url, name="test")) as nc:
            make_streams(nc, shards=2)
            log = run_sync(identity(nc, 1))
        with psycopg.connect(servers.postgres_dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'books' AS text")
    eventually(lambda: gone(bare))
    with embedded(bare, shards=2) as again:
        assert servers == again
        with open_on_loop(connected(again.nats_url, name="test")) as nc:
            assert log == run_sync(identity(nc, 1))
        assert ["books"] == text_in_ledger(again.postgres_dsn)


def test_processes_share_them_and_the_last_one_stops_them(root: Path) -> None:
    """A reading command that ends must not stop the servers of the market."""
    with user_of(root) as up, user_of(root) as reading:
        assert up.servers() == reading.servers()
        assert BOTH == servers_running(root)
        supervisor = supervisor_of(root)
        up.end()
        assert supervisor in running(root)
        with embedded(root, shards=2) as servers:
            reading.end()
            assert_reachable(servers, root)
            assert supervisor == supervisor_of(root)


def test_many_that_start_at_once_start_one_pair(bare: Path) -> None:
    """Two servers on one folder write over each other's streams."""
    users = [User(bare) for _ in range(4)]
    addresses = {tuple(user.servers()) for user in users}
    started = servers_running(bare)
    for user in users:
        user.end()
    assert (1, BOTH) == (len(addresses), started)


def test_the_servers_of_a_killed_user_are_stopped(root: Path) -> None:
    """Servers that outlive their terminal hold a port and memory for weeks."""
    with user_of(root) as user:
        user.servers()
        assert BOTH == servers_running(root)
        user.kill()


def test_a_killed_user_does_not_stop_them_for_others(root: Path) -> None:
    """The crash of one command must not be the crash of the market."""
    with user_of(root) as killed, embedded(root, shards=2) as servers:
        killed.servers()
        killed.kill()
        with user_of(root) as late:
            assert [servers.nats_url, servers.postgres_dsn] == late.servers()
        assert_reachable(servers, root)


def test_ctrl_c_reaches_the_user_and_not_the_servers(root: Path) -> None:
    """A flow that is stopped still has a window to commit."""
    with user_of(root) as user:
        user.servers()
        sessions = {os.getsid(pid) for pid in running(root)}
        assert os.getsid(user.process.pid) not in sessions
        user.end()


def test_a_killed_supervisor_is_replaced(root: Path) -> None:
    """Its Postgres still runs and its pid files are stale: the market must start all the same."""
    with user_of(root) as user:
        before = user.servers()
        killed = supervisor_of(root)
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: killed not in running(root))
        with embedded(root, shards=2) as servers:
            assert before == [servers.nats_url, servers.postgres_dsn]
            assert_reachable(servers, root)
            assert BOTH == servers_running(root)


def test_the_last_user_stops_the_servers_of_a_killed_supervisor(root: Path) -> None:
    """Its Postgres has no parent any more: it would run until the machine is switched off."""
    with user_of(root) as user:
        user.servers()
        os.kill(supervisor_of(root), signal.SIGKILL)
        user.end()
        eventually(lambda: gone(root))


@pytest.mark.parametrize("name", BOTH)
def test_a_killed_server_is_started_again_for_the_next_user(root: Path, name: str) -> None:
    """A supervisor that runs is no proof that its servers do."""
    with user_of(root) as user:
        user.servers()
        (main,) = [pid for pid, found in running(root).items() if found == name]
        os.kill(main, signal.SIGKILL)
        eventually(lambda: main not in running(root))
        with embedded(root, shards=2) as servers:
            assert_reachable(servers, root)


def test_stale_files_are_harmless(root: Path, unrelated: int) -> None:
    """After a power cut every pid file names an unrelated process."""
    (root / "supervisor.pid").write_text(str(unrelated))
    (root / "nats" / "pid").write_text(str(unrelated))
    (root / "servers.json").write_text("{half a fi")
    lines = [unrelated, root / "postgres", 1, 5432, root / "postgres"]
    (root / "postgres" / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
    assert_harmless(root, unrelated)


@pytest.mark.parametrize("short", [False, True], ids=["in the folder", "in a short one"])
def test_what_killed_servers_leave_is_harmless(root: Path, unrelated: int, *, short: bool) -> None:
    """Their numbers are given to other processes, of the same user too."""
    if short:
        root = root.rename(root.with_name("a" * 100))
    with user_of(root) as user:
        _, dsn = user.servers()
        user.kill()
        for pid in running(root):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: gone(root))
    sockets = Path(str(conninfo_to_dict(dsn)["host"]))
    assert short is (sockets != root / "postgres")
    leftovers = [
        *(root / "supervisor.pid", root / "nats" / "pid", root / "postgres" / "postmaster.pid"),
        sockets / ".s.PGSQL.5432.lock",
    ]
    for file in leftovers:
        _, *rest = file.read_text().splitlines()
        file.write_text("".join(f"{line}\n" for line in [unrelated, *rest]))
    assert_harmless(root, unrelated)


@pytest.mark.parametrize("content", ["", "9" * 30, "\x00\n\n"])
def test_pid_files_that_a_full_disk_cut_are_harmless(root: Path, content: str) -> None:
    """What was written last before the power went is often empty."""
    for file in ("supervisor.pid", "nats/pid", "nats/port", "postgres/postmaster.pid"):
        (root / file).write_text(content)
    with embedded(root, shards=2) as servers:
        assert_reachable(servers, root)


def assert_harmless(root: Path, unrelated: int) -> None:
    """The servers start, and the process whose number the files have lives on."""
    with embedded(root, shards=2) as servers:
        assert_reachable(servers, root)
    eventually(lambda: gone(root))
    assert psutil.Process(unrelated).status() != psutil.STATUS_ZOMBIE


def test_a_taken_port_is_left_to_its_holder(root: Path) -> None:
    """Overnight another program may have taken the port: both must run."""
    port = int((root / "nats" / "port").read_text())
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with embedded(root, shards=2) as servers:
            assert not servers.nats_url.endswith(f":{port}")
            assert_reachable(servers, root)


def test_another_nats_server_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    """A market that is connected to its neighbour's server trades in the neighbour's log."""
    neighbour = nats_server.start_nats(tmp_path / "neighbour", shards=1)
    try:
        assert nats_server.is_reachable(neighbour.url, tmp_path / "neighbour")
        assert not nats_server.is_reachable(neighbour.url, tmp_path / "ours")
    finally:
        neighbour.stop()


@pytest.mark.parametrize(
    "name", ["Müller & Söhne's 100%", "long" * 30, "a,b", " -@~;|#?=f{x}*[y]:z 日本 "]
)
def test_folders_may_be_named_anything(bare: Path, name: str) -> None:
    """A shell gives some letters a meaning, and the path of a socket has a hundred bytes."""
    root = bare / name
    with embedded(root, shards=2) as servers:
        assert_reachable(servers, root)


@pytest.mark.parametrize(
    "name", ["$HOME", "`id`", 'a"b', "a\\b", "a\nb", "a\tb", os.fsdecode(b"\xff")]
)
def test_other_folders_are_refused_before_they_are_made(bare: Path, name: str) -> None:
    """A shell would run a part of the name, or start Postgres in another folder."""
    refused = pytest.raises(SettingsError, match="Postgres cannot be started in a path with")
    with refused, embedded(bare / name, shards=2):
        pass
    assert not (bare / name).exists()


def test_another_user_can_run_what_root_installed_for_itself(tmp_path: Path) -> None:
    """Postgres refuses to run as root; with a umask of 077 its user could load no library."""
    (tmp_path / "lib" / "deep").mkdir(parents=True)
    program, library = tmp_path / "lib" / "initdb", tmp_path / "lib" / "deep" / "libpq.so"
    for path, mode in ((program, 0o700), (library, 0o600)):
        path.touch()
        path.chmod(mode)
    for folder in (tmp_path / "lib" / "deep", tmp_path / "lib"):
        folder.chmod(0o700)
    postgres_server.open_to_all(tmp_path / "lib")
    paths = (tmp_path / "lib", tmp_path / "lib" / "deep", program, library)
    assert [0o755, 0o755, 0o755, 0o644] == [path.stat().st_mode & 0o777 for path in paths]


def test_another_number_of_shards_is_refused_while_they_run(root: Path) -> None:
    """The server's mapping has one number: with another, commands would end in the wrong log."""
    with (
        embedded(root, shards=2),
        pytest.raises(SettingsError, match="2 shards, WALRAS_SHARDS is 3"),
        embedded(root, shards=3),
    ):
        pass
    with embedded(root, shards=3) as servers:
        assert_reachable(servers, root)


def test_a_missing_nats_server_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an unusual installation the error must name what is missing."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match="nats-server is not installed"):
        nats_server.executable()


def test_servers_that_cannot_start_say_why(bare: Path) -> None:
    """Without the server's own error, one has to search every log."""
    bare.mkdir()
    (bare / "nats").write_text("a file where the folder should be")
    with pytest.raises(ServerUnreachable, match="did not start"), embedded(bare, shards=2):
        pass


def test_settings_of_postgres_are_written_once(root: Path) -> None:
    """What an operator tuned must survive the next start."""
    conf = root / "postgres" / "postgresql.conf"
    with embedded(root, shards=2) as servers, psycopg.connect(servers.postgres_dsn) as connection:
        assert ("256MB",) == connection.execute("SHOW shared_buffers").fetchone()
        assert ("",) == connection.execute("SHOW listen_addresses").fetchone()
    tuned = conf.read_text().replace("shared_buffers = 256MB", "shared_buffers = 64MB")
    conf.write_text(tuned)
    with embedded(root, shards=2) as servers, psycopg.connect(servers.postgres_dsn) as connection:
        assert ("64MB",) == connection.execute("SHOW shared_buffers").fetchone()
    assert tuned == conf.read_text()
