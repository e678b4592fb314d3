"""The attached ledger: reachable by every form of DSN, closed to everything but reading."""

from pathlib import Path

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from connectors.duckdb.ledger import open_ledger
from state.errors import ServerUnreachable, SettingsError, WalrasError


def bids_in(dsn: str) -> list[tuple[int]]:
    with open_ledger(dsn) as ledger:
        return ledger.execute("SELECT count(*) FROM bids").fetchall()


def test_every_form_of_dsn_is_read(dsn: str) -> None:
    """A form that DuckDB alone cannot read would exclude a whole kind of deployment."""
    host, name = (conninfo_to_dict(dsn)[part] for part in ("host", "dbname"))
    words = f"host={host} dbname={name} user=postgres password='it\\'s \\\\ a secret'"
    in_query = f"postgresql:///{name}?host={host}&user=postgres"
    assert [[(3,)]] * 3 == [bids_in(form) for form in (dsn, words, in_query)]


def test_what_was_just_committed_is_seen(dsn: str, ledger: duckdb.DuckDBPyConnection) -> None:
    """An analyst who keeps a connection open must not read the state of yesterday."""
    count = "SELECT count(*) FROM bids WHERE market = 'm3'"
    before = ledger.execute(count).fetchall()
    with psycopg.connect(dsn, autocommit=True) as writer:
        writer.execute("INSERT INTO walras.bids (market) VALUES ('m3')")
        after = ledger.execute(count).fetchall()
        writer.execute("DELETE FROM walras.bids WHERE market = 'm3'")
    assert ([(0,)], [(1,)]) == (before, after)


@pytest.mark.parametrize(
    "write",
    [
        "INSERT INTO ledger.walras.bids (market) VALUES ('m9')",
        "UPDATE ledger.walras.bids SET seq = 9",
        "DELETE FROM ledger.walras.bids",
        "CREATE TABLE ledger.walras.mine (a int)",
        "DROP TABLE ledger.walras.bids",
    ],
)
def test_the_ledger_is_attached_read_only(ledger: duckdb.DuckDBPyConnection, write: str) -> None:
    """A ledger that a reader can change proves nothing."""
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        ledger.execute(write)


@pytest.mark.parametrize(
    "way_out",
    [
        "SELECT * FROM read_text('pyproject.toml')",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "ATTACH 'stolen.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET lock_configuration",
    ],
)
def test_nothing_but_the_ledger_is_accessible(
    ledger: duckdb.DuckDBPyConnection, way_out: str
) -> None:
    """With one way left to a file, a query of prices reads the server's keys."""
    with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
        ledger.execute(way_out)
    assert not Path("stolen.csv").exists()


def test_the_password_is_never_shown(dsn: str) -> None:
    """DuckDB shows the whole DSN in a catalog that every query may read."""
    with open_ledger(f"{dsn}&password=hunter2") as ledger:
        shown = str(ledger.execute("FROM duckdb_databases()").fetchall())
        shown += str(ledger.execute("FROM duckdb_secrets()").fetchall())
    assert (True, False) == ("host=" in shown, "hunter2" in shown)


def test_a_silent_server_is_unreachable() -> None:
    """After a start in the wrong order the error must say so, and no log may hold the password."""
    with pytest.raises(ServerUnreachable) as raised:
        open_ledger("postgresql://walras:hunter2@127.0.0.1:1/walras")
    assert (3, False) == (raised.value.exit_code, "hunter2" in str(raised.value))
    assert "Connection refused" in raised.value.detail


def test_an_invalid_dsn_is_a_wrong_setting() -> None:
    """A typing error is reported as one, not as a server that does not answer."""
    with pytest.raises(SettingsError, match="WALRAS_POSTGRES_DSN"):
        open_ledger("postgresql://[nonsense")


def test_a_database_without_a_ledger_is_reported_as_one(postgres_dsn: str) -> None:
    """On a fresh machine the first query may come before the first start."""
    with pytest.raises(WalrasError, match="no ledger in this database yet"):
        open_ledger(postgres_dsn)
