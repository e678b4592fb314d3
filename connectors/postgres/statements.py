"""SQL statements of more than a few lines, each in a named file under `connectors/postgres/sql`.

Promise: a module reads its statements while it is imported, so that a missing file stops the
start and not a commit. Parameters are psycopg's (`%s`, `%(name)s`); `{name}` is filled in by
`psycopg.sql`.
"""

from pathlib import Path
from typing import Final, LiteralString

FOLDER: Final = Path(__file__).parent / "sql"


def read_statement(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`, which is as much ours as a literal in the code."""
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8").strip()
