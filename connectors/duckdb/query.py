"""Queries in SQL, and their answers: for the program and for what a user typed.

Promise: an untrusted query is a SELECT, or the EXPLAIN of one, that reads the ledger's views and
nothing else. Attaching read-only is not enough for that: the extension's own functions pass any
text to Postgres, which runs programs for a superuser. So `untrusted.py` has DuckDB's parser list
the functions that a query calls. Ctrl-C ends a query as it ends anything else.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Final

import duckdb

from connectors.duckdb.ledger import raise_interruption, unreachable
from connectors.duckdb.untrusted import check, refused, suggestion
from state.errors import SettingsError, WalrasError

FETCHED_ROWS: Final = 10_000

# To return an instant as a Python value DuckDB would need one more package.
INSTANT: Final = "WITH TIME ZONE"

# A numeric(38, 0) of Postgres is a whole number.
WHOLE: Final = "DECIMAL(38,0)"

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows with the names of their columns; integers are integers, instants are text in UTC.

    JSON is what it describes: an object is a `dict`.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def records(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer of any size, whose rows are read as they are asked for."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


def ask(ledger: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> Answer:
    """Run a query of the program with those of the parameters that it names."""
    (question,) = ledger.extract_statements(sql)
    named = {name: parameters[name] for name in question.named_parameters}
    try:
        stream = _stream(ledger, question, named)
        return Answer(stream.columns, tuple(stream.rows))
    except duckdb.CatalogException as error:
        raise WalrasError(
            "the ledger has the schema of another version",
            detail=str(error).splitlines()[0],
            hint="Run `walras up` with this version: it brings the ledger up to date",
        ) from error


def run_untrusted(ledger: duckdb.DuckDBPyConnection, text: str) -> Iterator[Stream]:
    """The answers to what a user typed, one after the other; nothing runs if one is refused."""
    with _refusing(ledger):
        checked = [check(ledger, statement) for statement in ledger.extract_statements(text)]
    if not checked:
        raise refused("there is no statement in it", hint="Write one, such as: FROM bids LIMIT 5")
    for query in checked:
        with _refusing(ledger):
            stream = _stream(ledger, query, {})
        yield Stream(stream.columns, _rows_or_refused(ledger, stream.rows))


def _rows_or_refused(ledger: duckdb.DuckDBPyConnection, rows: Iterator[Row]) -> Iterator[Row]:
    with _refusing(ledger):
        yield from rows


@contextmanager
def _refusing(ledger: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Report what DuckDB has against a query, with what it suggests of our own views."""
    try:
        with _translated():
            yield
    except duckdb.Error as error:
        detail, hint = suggestion(str(error), lambda: _views(ledger))
        raise refused(detail, hint=hint) from error


def _views(ledger: duckdb.DuckDBPyConnection) -> list[str]:
    return [name for (name,) in ledger.sql("SHOW TABLES").fetchall()]


def _stream(
    ledger: duckdb.DuckDBPyConnection,
    question: duckdb.Statement | str,
    parameters: dict[str, object],
) -> Stream:
    with _translated():
        relation = ledger.sql(question, params=parameters or None)
        kinds = [str(kind) for kind in relation.types]
        columns = tuple(_distinct(relation.columns))
        shown = relation.project(
            ", ".join(_shown(place, kind) for place, kind in enumerate(kinds, 1))
        )
    are_json = [kind == "JSON" for kind in kinds]
    return Stream(columns, _rows(shown, _reading_json(are_json) if any(are_json) else None))


def _rows(relation: duckdb.DuckDBPyRelation, read: Callable[[Row], Row] | None) -> Iterator[Row]:
    """The rows, of which only some are in memory."""
    while True:
        with _translated():
            rows = relation.fetchmany(FETCHED_ROWS)
        if not rows:
            return
        yield from map(read, rows) if read else rows


def _reading_json(are_json: list[bool]) -> Callable[[Row], Row]:
    def read(row: Row) -> Row:
        return tuple(
            json.loads(value) if is_json and value is not None else value
            for value, is_json in zip(row, are_json, strict=True)
        )

    return read


@contextmanager
def _translated() -> Iterator[None]:
    """Failures of the world as ours; DuckDB has its own for an interruption, which is none."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except duckdb.IOException as error:
        raise unreachable(error) from error
    except duckdb.Error as error:
        if type(error) is duckdb.Error:  # an error of Postgres itself has no class of its own
            raise _denied(error) from error
        raise
    except OverflowError as error:
        raise SettingsError(
            "a number is out of range", detail=str(error), hint="Give one that fits into 64 bits"
        ) from error
    except RuntimeError as error:
        raise_interruption(error)
        raise


def _shown(place: int, kind: str) -> str:
    if INSTANT in kind:
        return f"#{place}::VARCHAR"
    return f"#{place}::HUGEINT" if kind == WHOLE else f"#{place}"


def _distinct(names: Iterable[str]) -> Iterator[str]:
    """The names of the columns, with a number behind each that occurred before."""
    taken: set[str] = set()
    for name in names:
        candidates = chain([name], (f"{name}_{number}" for number in count(2)))
        taken.add(free := next(c for c in candidates if c not in taken))
        yield free


def _denied(error: duckdb.Error) -> WalrasError:
    text = str(error).splitlines()[0].partition("ERROR:")
    return WalrasError(
        "Postgres refused the query",
        detail=(text[2] or text[0]).strip(),
        hint="Grant the user in WALRAS_POSTGRES_DSN read access to schema walras",
    )
