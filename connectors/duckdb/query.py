"""One query in SQL, and its answer: for the program and for what a user typed.

Promise: an untrusted query is one SELECT that reads the ledger's views and nothing else. Attaching
read-only is not enough for that: the extension's own functions pass any text to Postgres, which
runs programs for a superuser. So DuckDB's parser lists the functions that the query calls, and only
those known to stay inside DuckDB may produce tables.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Final

import duckdb

from connectors.duckdb.ledger import unreachable
from state.errors import SettingsError, WalrasError

TABLE_FUNCTIONS: Final = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})

# The one scalar function that binds a query given to it as text, with all that it calls.
SCALARS_REFUSED: Final = frozenset({"json_serialize_plan"})

# To return an instant as a Python value DuckDB would need one more package.
INSTANT: Final = "WITH TIME ZONE"

# A numeric(38, 0) of Postgres is a whole number.
WHOLE: Final = "DECIMAL(38,0)"


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows with the names of their columns; integers are integers, instants are text in UTC."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def ask(ledger: duckdb.DuckDBPyConnection, sql: str, **parameters: object) -> Answer:
    """Run a query of the program with those of the parameters that it names."""
    (question,) = ledger.extract_statements(sql)
    named = {name: parameters[name] for name in question.named_parameters}
    try:
        return _answer(ledger, question, named)
    except duckdb.CatalogException as error:
        raise WalrasError(
            "the ledger has the schema of another version",
            detail=str(error).splitlines()[0],
            hint="Run `walras up` with this version: it brings the ledger up to date",
        ) from error


def run_untrusted(ledger: duckdb.DuckDBPyConnection, query: str) -> Answer:
    """Run a query that a user typed, or report why it is refused."""
    try:
        return _answer(ledger, _checked(ledger, query), {})
    except duckdb.Error as error:
        raise _refused(str(error), hint="`walras sql 'SHOW TABLES'` lists the views") from error


def _answer(
    ledger: duckdb.DuckDBPyConnection, question: duckdb.Statement, parameters: dict[str, object]
) -> Answer:
    try:
        relation = ledger.sql(question, params=parameters or None)
        shown = ", ".join(_shown(place, str(kind)) for place, kind in enumerate(relation.types, 1))
        rows = relation.project(shown).fetchall()
    except duckdb.IOException as error:
        raise unreachable(error) from error
    except duckdb.Error as error:
        if type(error) is duckdb.Error:  # an error of Postgres itself has no class of its own
            raise _denied(error) from error
        raise
    return Answer(columns=tuple(_distinct(relation.columns)), rows=tuple(rows))


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


def _checked(ledger: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    statements = ledger.extract_statements(query)
    if len(statements) != 1:
        raise _refused(f"it has {len(statements)} statements", hint="Run one SELECT at a time")
    unknown = sorted(set(_calls(_parse(ledger, statements[0].query))))
    if unknown:
        hint = "Read the views that `walras sql 'SHOW TABLES'` lists"
        raise _refused(f"it may not call {', '.join(unknown)}", hint=hint)
    return statements[0]


def _parse(ledger: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = ledger.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchone()
    assert row is not None
    tree = json.loads(row[0])
    if tree["error"]:
        hint = "The ledger is read-only: use SELECT, DESCRIBE, SUMMARIZE or SHOW"
        raise _refused("only SELECT is allowed", hint=hint)
    return tree


def _calls(node: Any) -> Iterator[str]:
    """The names of the functions in a parsed query that are not allowed."""
    if isinstance(node, list):
        for child in node:
            yield from _calls(child)
    elif isinstance(node, dict):
        yield from _call(node)
        for child in node.values():
            yield from _calls(child)


def _call(node: Mapping[str, Any]) -> Iterator[str]:
    if node.get("type") == "TABLE_FUNCTION" and _name(node["function"]) not in TABLE_FUNCTIONS:
        yield _name(node["function"])
    elif "function_name" in node and _name(node) in SCALARS_REFUSED:
        yield _name(node)


def _name(function: Mapping[str, Any]) -> str:
    return str(function["function_name"]).lower()


def _denied(error: duckdb.Error) -> WalrasError:
    text = str(error).splitlines()[0].partition("ERROR:")
    return WalrasError(
        "Postgres refused the query",
        detail=(text[2] or text[0]).strip(),
        hint="Grant the user in WALRAS_POSTGRES_DSN read access to schema walras",
    )


def _refused(detail: str, *, hint: str) -> WalrasError:
    return SettingsError("the query was not run", detail=detail, hint=hint)
