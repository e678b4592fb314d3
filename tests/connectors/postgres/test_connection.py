"""A Postgres that is unreachable, or an invalid address, is reported in three parts."""

from pathlib import Path

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect, translate_errors
from connectors.postgres.migrate import migrate
from state.errors import ServerUnreachable, SettingsError
from tests.connectors.postgres.asking import value


def nothing_listens(folder: Path) -> str:
    return f"postgresql://postgres@/postgres?host={folder}"


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """The first error that a new user meets must say what to do."""
    with pytest.raises(ServerUnreachable) as refused:
        connect(nothing_listens(tmp_path))
    assert "Postgres does not answer" == refused.value.what
    assert str(tmp_path) in refused.value.detail
    assert "WALRAS_POSTGRES_DSN" in refused.value.hint


def test_migrating_a_server_that_is_not_there(tmp_path: Path) -> None:
    """The migrations come first at every start: theirs is the error that is seen."""
    with pytest.raises(ServerUnreachable):
        migrate(nothing_listens(tmp_path))


def test_a_database_that_is_not_there(dsn: str) -> None:
    """The server answers, and still there is no ledger."""
    with pytest.raises(ServerUnreachable, match='database "nowhere" does not exist'):
        connect(f"{dsn} dbname=nowhere")


@pytest.mark.parametrize("address", ["s3cret", "postgresql://u:s3cret@h/x?no=1", "a b=s3cret"])
def test_an_invalid_address(address: str) -> None:
    """It is reported as a wrong setting, without what may be a password."""
    with pytest.raises(SettingsError) as refused:
        connect(address)
    assert "s3cret" not in str(refused.value)


def test_sessions_name_themselves_and_wait_for_nothing_for_ever(conn: Connection) -> None:
    """An operator finds them in pg_stat_activity; a paused one must not lock a shard for ever."""
    assert "walras" == value(conn, "SHOW application_name")
    assert "30s" == value(conn, "SHOW lock_timeout")
    assert "1min" == value(conn, "SHOW idle_in_transaction_session_timeout")
    assert "on" == value(conn, "SHOW synchronous_commit")


def test_what_the_address_says_comes_first(dsn: str) -> None:
    """Our defaults are for what the operator left out."""
    with connect(f"{dsn} application_name=mine options='-c lock_timeout=5s'") as conn:
        assert "mine" == value(conn, "SHOW application_name")
        assert "5s" == value(conn, "SHOW lock_timeout")
        assert "1min" == value(conn, "SHOW idle_in_transaction_session_timeout")


def test_a_lock_that_is_not_given_is_reported_as_such(conn: Connection, dsn: str) -> None:
    """A worker paused during a commit looks to its successor like a silent server."""
    with conn.transaction(), connect(f"{dsn} options='-c lock_timeout=50ms'") as other:
        conn.execute("LOCK TABLE ledger.shard")
        with pytest.raises(ServerUnreachable) as refused, translate_errors():
            other.execute("SELECT FROM ledger.shard")
    assert "Postgres did not give a lock in time" == refused.value.what
    assert "pg_stat_activity" in refused.value.hint
