"""Bring the ledger's schema up to date: the SQL files of `state/migrations`, in order of name.

Promise: all missing migrations are applied and recorded in one transaction, or none is; of several
processes that start at once, one applies them and the others find nothing left to do.

The runner is yoyo; its own tables are in the schema `yoyo`.
"""

from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import psycopg
import yoyo
from psycopg import Connection, OperationalError
from yoyo.backends import DatabaseBackend

import state
from connectors.postgres.connection import (
    connect,
    connection_parameters,
    set_limits,
    translate_errors,
)
from connectors.postgres.reader import open_for_reading
from connectors.postgres.requirements import check_database
from state.errors import SettingsError

MIGRATIONS: Final = Path(state.__file__).parent / "migrations"
LOCK_KEY: Final = 0x57414C524153  # "WALRAS" in ASCII
_APPLIED: Final = "SELECT max(migration_id) FROM yoyo._yoyo_migration"


def migrate(dsn: str, *, migrations: Path = MIGRATIONS) -> list[str]:
    """Apply what is missing; the names of what was applied, in order."""
    check_database(dsn)
    with connect(dsn) as lock, translate_errors():
        # Not the runner's own lock: that is a row, which outlives a killed process.
        lock.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        try:
            lock.execute("CREATE SCHEMA IF NOT EXISTS yoyo")
            with _runner(dsn) as runner:
                applied = _apply_missing(runner, migrations)
            open_for_reading(lock)
        except OperationalError:
            raise
        except psycopg.Error as error:
            raise _refused(error) from error
    return applied


def schema_version(conn: Connection) -> str | None:
    """The name of the last migration that was applied; None before the first."""
    exists = conn.execute("SELECT to_regclass('yoyo._yoyo_migration') IS NOT NULL").fetchone()
    if exists != (True,):
        return None
    newest = conn.execute(_APPLIED).fetchone()
    return None if newest is None else newest[0]


def _runner(dsn: str) -> DatabaseBackend:
    parameters = connection_parameters(dsn) | {"schema": "yoyo"}
    runner = yoyo.get_backend(f"postgresql+psycopg:///?{urlencode(parameters)}")
    set_limits(runner.connection, parameters)
    runner.break_lock()
    runner.ensure_internal_schema_updated()
    return runner


def _apply_missing(runner: DatabaseBackend, migrations: Path) -> list[str]:
    with runner.transaction():
        missing = list(runner.to_apply(yoyo.read_migrations(str(migrations))))
        for migration in missing:
            migration.process_steps(runner, "apply")
            runner.mark_one(migration, log=False)
    return [migration.id for migration in missing]


def _refused(error: psycopg.Error) -> SettingsError:
    return SettingsError(
        "the ledger's schema could not be brought up to date",
        detail=" ".join(str(error).split()),
        hint="Give walras a database of its own and a user that may create schemas in it",
    )
