"""A database as somebody else set it up holds the same ledger, or is refused with the reason."""

import gzip
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import ask
from connectors.postgres.connection import connect
from connectors.postgres.migrate import migrate
from connectors.postgres.reads.queries import open_reader
from flows.replay import replay
from state.errors import ServerUnreachable, SettingsError, WalrasError
from tests.connectors.postgres.asking import value
from tests.golden.logs import WINDOW_MS
from tests.golden.recorded import HERE, expected
from tests.support.eventually import eventually
from walras_schemas import QueryError

PGBOUNCER: Final = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
LOG: Final = "malformed"  # with every kind of row, and text in odd characters

needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")


def owner(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True)


def set_for(dsn: str, name: str, setting: str) -> None:
    """A setting of the database, as an administrator makes it for all that use it."""
    database = str(conninfo_to_dict(dsn)["dbname"])
    with owner(dsn) as conn:
        alter = SQL("ALTER DATABASE {} SET {} = {}")
        conn.execute(alter.format(Identifier(database), Identifier(name), Literal(setting)))


def database(postgres: str, name: str, encoding: str) -> str:
    with owner(postgres) as conn:
        create = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'"
        conn.execute(SQL(create).format(Identifier(name), Literal(encoding)))
    return make_conninfo(postgres, dbname=name)


def holds_a_ledger(dsn: str, folder: Path) -> None:
    """Settle a log with every kind of row, and read it by all ways that there are."""
    log = folder / "log.jsonl"
    log.write_bytes(gzip.decompress((HERE / f"{LOG}.jsonl.gz").read_bytes()))
    report = replay(log, postgres_dsn=dsn, window_ms=WINDOW_MS, batch_size=100)
    assert expected()[LOG]["digest"] == report.digest
    with closing(open_ledger(dsn)) as ledger:
        ((bids,),) = ask(ledger, "SELECT count(*) FROM bids").rows
    with connect(dsn) as conn:
        assert bids == value(conn, "SELECT count(*) FROM walras.bids") > 0
        market, agent = (
            conn.execute(
                "SELECT market, agent_id FROM walras.bids WHERE status = 'won' LIMIT 1"
            ).fetchone()
            or ()
        )
    with open_reader(dsn) as reader:
        assert not isinstance(reader.balance(market, agent), QueryError)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("client_encoding", "LATIN1"),
        ("search_path", "pg_catalog"),
        ("datestyle", "German, DMY"),
        ("intervalstyle", "sql_standard"),
        ("timezone", "Asia/Kathmandu"),
        ("bytea_output", "escape"),
        ("extra_float_digits", "-10"),
        ("default_transaction_isolation", "serializable"),
        ("standard_conforming_strings", "off"),
        ("lc_messages", "C"),
        ("plan_cache_mode", "force_generic_plan"),
    ],
)
def test_settings_of_others_change_nothing(
    empty_dsn: str, tmp_path: Path, name: str, setting: str
) -> None:
    """What suits the web pages of the same server must not stop a market or alter its rows."""
    set_for(empty_dsn, name, setting)
    holds_a_ledger(empty_dsn, tmp_path)


@pytest.mark.parametrize("name", ["statement_timeout", "idle_session_timeout"])
def test_limits_for_people_are_not_for_windows(empty_dsn: str, name: str) -> None:
    """A window that takes longer than a page may would be cut off at each attempt, for ever."""
    set_for(empty_dsn, name, "7s")
    with owner(empty_dsn) as conn:
        assert "7s" == value(conn, f"SHOW {name}")
    with connect(empty_dsn) as conn:
        assert "0" == value(conn, f"SHOW {name}")


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_another_encoding_is_named(postgres: str, encoding: str) -> None:
    """Otherwise the first message with a character that it lacks stops the shard."""
    dsn = database(postgres, f"in_{encoding.lower()}", encoding)
    with pytest.raises(SettingsError, match=f"has the encoding {encoding}") as refused:
        migrate(dsn)
    assert "ENCODING 'UTF8'" in refused.value.hint
    with owner(dsn) as conn:
        assert value(conn, "SELECT to_regnamespace('ledger')") is None


def test_a_database_that_is_read_only_says_so(empty_dsn: str) -> None:
    """A standby, or a role that may only read: it does answer, and waiting is in vain."""
    set_for(empty_dsn, "default_transaction_read_only", "on")
    with pytest.raises(ServerUnreachable, match="takes no writes"):
        migrate(empty_dsn)


@pytest.mark.parametrize("limited", ["role", "database"])
def test_too_few_connections_are_named(postgres: str, empty_dsn: str, limited: str) -> None:
    """A limit is raised by whoever knows that it is one."""
    name = f"limited_{limited}"
    with owner(postgres) as conn:
        conn.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(name)))
        what = name if limited == "role" else str(conninfo_to_dict(empty_dsn)["dbname"])
        alter = SQL("ALTER {} {} CONNECTION LIMIT 0").format(SQL(limited), Identifier(what))
        conn.execute(alter)
    with pytest.raises(ServerUnreachable, match="Postgres has no free connection"):
        connect(make_conninfo(empty_dsn, user=name))


def test_a_role_that_is_not_there_is_a_login(empty_dsn: str) -> None:
    """A mistyped user is no outage."""
    with pytest.raises(ServerUnreachable, match="Postgres refused the login"):
        connect(make_conninfo(empty_dsn, user="nobody_here"))


@pytest.mark.parametrize(
    "password",
    ["hunter2/x", "x@hunter2", "hunter2#x", "1?hunter2=1", "x?hunter2/", "1/2@hunter2", "%hunter2"],
)
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_no_part_of_a_password_is_taken_for_a_host(scheme: str, password: str) -> None:
    """The name of a host that cannot be found is in every message of it."""
    with pytest.raises(WalrasError) as refused:
        connect(f"{scheme}://u:{password}@127.0.0.1:1/d")
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def pooler(postgres: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A PgBouncer before the server, in a mode: its address."""
    behind = conninfo_to_dict(postgres)
    folder = Path(str(behind["host"]))
    user = pwd.getpwuid(folder.stat().st_uid).pw_name
    with TemporaryDirectory(prefix="walras-pooler-") as name:
        sockets = Path(name)
        sockets.chmod(0o777)
        (sockets / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={folder} user={behind['user']}\n[pgbouncer]\n"
            f"unix_socket_dir = {sockets}\nlisten_port = 6432\nauth_type = any\n"
            f"pool_mode = {request.param}\n"
        )
        as_owner = ["-u", user] if os.geteuid() == 0 else []
        with subprocess.Popen(
            [str(PGBOUNCER), "-q", *as_owner, sockets / "pgbouncer.ini"], stderr=subprocess.DEVNULL
        ) as process:
            try:
                eventually((sockets / ".s.PGSQL.6432").exists)
                yield make_conninfo(host=name, port="6432", user="walras", dbname="")
            finally:
                process.kill()


@needs_pgbouncer
@pytest.mark.parametrize("pooler", ["session"], indirect=True)
def test_a_pooler_of_sessions_is_as_good_as_none(
    pooler: str, empty_dsn: str, tmp_path: Path
) -> None:
    """Where all that an operator hands out is the address of a pooler."""
    dsn = make_conninfo(pooler, dbname=conninfo_to_dict(empty_dsn)["dbname"])
    holds_a_ledger(dsn, tmp_path)
    with connect(dsn) as conn:
        assert "30s" == value(conn, "SHOW lock_timeout")


@needs_pgbouncer
@pytest.mark.parametrize("pooler", ["transaction", "statement"], indirect=True)
def test_a_pooler_that_shares_sessions_is_refused(pooler: str, empty_dsn: str) -> None:
    """It would fail after the fourth window, when statements are prepared."""
    dsn = make_conninfo(pooler, dbname=conninfo_to_dict(empty_dsn)["dbname"])
    with pytest.raises(SettingsError, match="shares sessions") as refused:
        migrate(dsn)
    assert "pool_mode = session" in refused.value.hint


@needs_pgbouncer
@pytest.mark.parametrize("pooler", ["session"], indirect=True)
def test_options_that_a_pooler_does_not_take_are_named(pooler: str, empty_dsn: str) -> None:
    """Its own words are of startup parameters, which nobody has set."""
    dsn = make_conninfo(
        pooler, dbname=conninfo_to_dict(empty_dsn)["dbname"], options="-c work_mem=1MB"
    )
    with pytest.raises(ServerUnreachable, match="the pooler") as refused:
        connect(dsn)
    assert "ALTER ROLE" in refused.value.hint
