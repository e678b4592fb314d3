"""The schema is the sum of its migrations, each of them applied once."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.migrate import LOCK_KEY, MIGRATIONS, migrate, schema_version
from state.errors import SettingsError
from tests.connectors.postgres import schema
from tests.connectors.postgres.asking import value, wait_until

NAMES: Final = sorted(file.stem for file in MIGRATIONS.glob("*.sql"))

CATALOGUE: Final = """
    SELECT 'column', attrelid::regclass::text, attnum::text, attname || ' '
        || format_type(atttypid, atttypmod) || ' ' || attnotnull || ' '
        || attcollation::regcollation::text || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace::regnamespace::text IN ('ledger', 'walras') AND attnum > 0
    AND NOT attisdropped
    UNION ALL
    SELECT 'index', indrelid::regclass::text, '', pg_get_indexdef(indexrelid) FROM pg_index
    JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace::regnamespace::text = 'ledger'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace::regnamespace::text = 'ledger'
    UNION ALL
    SELECT 'view', oid::regclass::text, '', pg_get_viewdef(oid) FROM pg_class
    WHERE relkind = 'v' AND relnamespace::regnamespace::text IN ('ledger', 'walras')
    UNION ALL
    SELECT 'function', oid::regprocedure::text, '', pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace::regnamespace::text IN ('ledger', 'walras')
    UNION ALL
    SELECT 'relation', oid::regclass::text, relkind::text, reloptions::text FROM pg_class
    WHERE relnamespace::regnamespace::text IN ('ledger', 'walras')
    ORDER BY 1, 2, 3, 4
"""


def catalogue(dsn: str) -> list[tuple[Any, ...]]:
    with connect(dsn) as conn:
        return conn.execute(CATALOGUE).fetchall()


def test_schema_is_the_sum_of_its_migrations(empty_dsn: str, dsn: str, tmp_path: Path) -> None:
    """A ledger that grew with the releases must not differ from one that was made today."""
    applied = []
    for name in NAMES:
        shutil.copy(MIGRATIONS / f"{name}.sql", tmp_path)
        applied.append(migrate(empty_dsn, migrations=tmp_path))
    assert [[name] for name in NAMES] == applied
    assert catalogue(dsn) == catalogue(empty_dsn)
    assert len(catalogue(dsn)) > 100


def test_the_schema_file_is_the_sum_of_the_migrations(empty_dsn: str, dsn: str) -> None:
    """A file that is read in place of the migrations must not show another ledger."""
    with connect(empty_dsn) as conn:
        conn.execute(schema.FILE.read_bytes())
    assert catalogue(dsn) == catalogue(empty_dsn)


def test_the_schema_file_is_what_its_command_writes(dsn: str) -> None:
    """Corrected by hand, the file would lose the correction with the next migration."""
    assert schema.schema_of(dsn) == schema.FILE.read_text(encoding="utf-8")


def test_a_second_time_does_nothing(dsn: str) -> None:
    """Every start of the deployment migrates: it must not touch what is there."""
    before = catalogue(dsn)
    assert [] == migrate(dsn)
    assert before == catalogue(dsn)


def start_migrating(dsn: str) -> subprocess.Popen[str]:
    command = (
        "import sys; from connectors.postgres.migrate import migrate; print(migrate(sys.argv[1]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", command, dsn],
        cwd=MIGRATIONS.parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once(empty_dsn: str) -> None:
    """Two hosts that start together must not trip over each other's half-made schema."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with connect(empty_dsn) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        both = [start_migrating(empty_dsn) for _ in range(2)]
        wait_until(lambda: value(gate, waiting) == 2)
    printed = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert [0, 0] == [process.returncode for process in both]
    assert sorted([str(NAMES), "[]"]) == printed


def test_a_process_killed_while_migrating_leaves_no_lock(empty_dsn: str) -> None:
    """The runner's own lock is a row: left behind, it would refuse every later start."""
    with connect(empty_dsn) as conn:
        conn.execute("CREATE SCHEMA yoyo")
        conn.execute(
            "CREATE TABLE yoyo.yoyo_lock (locked int PRIMARY KEY, ctime timestamp, pid int)"
        )
        conn.execute("INSERT INTO yoyo.yoyo_lock VALUES (1, now(), 4711)")
    assert NAMES == migrate(empty_dsn)


def test_a_failing_migration_leaves_nothing(empty_dsn: str, tmp_path: Path) -> None:
    """Half a schema can neither be used nor migrated again."""
    (tmp_path / "0001_good.sql").write_text("CREATE TABLE good (id int);")
    (tmp_path / "0002_bad.sql").write_text("CREATE TABLE bad (id int); SELECT nothing_like_it();")
    with pytest.raises(SettingsError, match="nothing_like_it"):
        migrate(empty_dsn, migrations=tmp_path)
    with connect(empty_dsn) as conn:
        assert None is value(conn, "SELECT to_regclass('good')")
        assert schema_version(conn) is None


def test_schema_version(conn: Connection) -> None:
    """`doctor` must be able to say which schema a ledger has."""
    assert NAMES[-1] == schema_version(conn)


def test_no_schema_has_no_version(empty_dsn: str) -> None:
    """An empty database is reported as such, not as an error of SQL."""
    with connect(empty_dsn) as conn:
        assert schema_version(conn) is None
