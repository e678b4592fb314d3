"""The live ledger as an analyst sees it: `FROM bids` means the view `walras.bids`, as of now.

Promise: nothing is downloaded, no file is read or written, no setting can be changed back, and the
session is read-only. SQL that a user typed is run by `connectors/duckdb/query.py`, which closes the
ways around this.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import duckdb
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from state.errors import ServerUnreachable, SettingsError, WalrasError

DEFAULTS: Final = {"connect_timeout": "5", "application_name": "walras"}
EXTENSION: Final = "duckdb_extension_postgres_scanner"

# Extensions come only from installed packages; a large query does not spill to disk.
OFFLINE: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}

# What Postgres has as jsonb comes as text: the views that queries name read those of the ledger.
VIEWS: Final = """
    SELECT table_name, bool_or(column_name = 'bundle') FROM duckdb_columns()
    WHERE database_name = 'ledger' AND schema_name = 'walras' GROUP BY ALL
"""
COPY_OF_VIEW: Final = """
    CREATE VIEW memory.walras."{view}" AS SELECT {columns} FROM ledger.walras."{view}"
"""
OBJECTS: Final = "* REPLACE (bundle::JSON AS bundle)"

# The last statement makes the settings before it final.
LOCK: Final = """
    SET TimeZone = 'UTC';
    SET python_enable_replacements = false;
    SET enable_external_access = false;
    SET lock_configuration = true;
"""


def open_ledger(dsn: str) -> duckdb.DuckDBPyConnection:
    """Attach the ledger at `dsn`, in any form that libpq reads; the caller closes it."""
    connection = duckdb.connect(config=OFFLINE)
    try:
        load_extension(connection)
        _attach(connection, dsn)
        _lock(connection)
    except BaseException as error:
        connection.close()
        raise_interruption(error)
        raise
    return connection


def load_extension(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the extension that reads Postgres, from the installed package."""
    try:
        connection.load_extension(str(_extension_path()))
    except duckdb.Error as error:
        raise WalrasError(
            "DuckDB cannot load its Postgres extension",
            detail=_first_line(error),
            hint=f"Install {EXTENSION} in the version of DuckDB, {duckdb.__version__}",
        ) from error


def _extension_path() -> Path:
    spec = find_spec(EXTENSION)
    assert spec is not None, "the lock file installs the extension"
    assert spec.origin is not None
    versions = Path(spec.origin).parent / "extensions"
    return versions / f"v{duckdb.__version__}" / "postgres_scanner.duckdb_extension"


def _attach(connection: duckdb.DuckDBPyConnection, dsn: str) -> None:
    """The password is a secret of its own: DuckDB shows the rest in messages and catalogs."""
    parameters = _read_dsn(dsn)
    options = "TYPE postgres, READ_ONLY, SCHEMA 'walras'"
    if password := parameters.pop("password", None):
        connection.execute(f"CREATE SECRET login (TYPE postgres, PASSWORD {_quoted(password)})")
        options += ", SECRET login"
    try:
        connection.execute(f"ATTACH {_quoted(make_conninfo(**parameters))} AS ledger ({options})")
    except duckdb.Error as error:
        raise unreachable(error) from error


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("USE ledger.walras")
        _make_views(connection)
        connection.execute(LOCK)
    except duckdb.CatalogException as error:
        raise WalrasError(
            "there is no ledger in this database yet",
            detail="it has no schema walras",
            hint="Run `walras up` once: it creates the ledger",
        ) from error


def _make_views(connection: duckdb.DuckDBPyConnection) -> None:
    """One in memory for each that this ledger has, whatever its version."""
    views = connection.execute(VIEWS).fetchall()
    connection.execute("CREATE SCHEMA memory.walras")
    for view, has_objects in views:
        columns = OBJECTS if has_objects else "*"
        connection.execute(COPY_OF_VIEW.format(view=view, columns=columns))
    connection.execute("USE memory.walras")


def _read_dsn(dsn: str) -> dict[str, str]:
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise SettingsError(
            "WALRAS_POSTGRES_DSN is not a valid connection string",
            detail="libpq cannot read it",
            hint="Write it as postgresql://user:password@host:5432/database",
        ) from error
    return DEFAULTS | {name: str(value) for name, value in given.items() if value is not None}


def raise_interruption(error: BaseException) -> None:
    """Ctrl-C while DuckDB works is an error of its own there."""
    if isinstance(error, RuntimeError) and "interrupted" in str(error):
        raise KeyboardInterrupt from error


def unreachable(error: duckdb.Error) -> ServerUnreachable:
    """The failure of a query while Postgres is unavailable."""
    return ServerUnreachable(
        "Postgres does not answer",
        detail=_first_line(error).removeprefix("IO Error: "),
        hint="Check WALRAS_POSTGRES_DSN and that the server runs; `walras doctor` shows details",
    )


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
