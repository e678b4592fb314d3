"""One question in SQL, and its answer: for named questions and for a stranger's own.

Promise: a stranger's query is one SELECT that reads the ledger's views and nothing else. Attaching
read-only is not enough for that: the extension's own functions hand any text to Postgres, which
runs programs for a superuser. So DuckDB's parser says what the query calls, and only functions
known to stay inside DuckDB may make tables.
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

# The one scalar function that looks up what a query given to it as text would call.
SCALARS_REFUSED: Final = frozenset({"json_serialize_plan"})

# Python has no value for an instant that DuckDB would hand over without one more package.
INSTANT: Final = "WITH TIME ZONE"

# What Postgres counts in numeric(38, 0) is a whole number.
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
    """Answer a query of our own; it gets those of the parameters that it names."""
    (question,) = ledger.extract_statements(sql)
    named = {name: parameters[name] for name in question.named_parameters}
    try:
        return _answer(ledger, question, named)
    except duckdb.CatalogException as error:
        raise WalrasError(
            "the ledger is not one of this version",
            detail=str(error).splitlines()[0],
            hint="Run `walras up` with this version: it brings the ledger up to date",
        ) from error


def ask_stranger(ledger: duckdb.DuckDBPyConnection, query: str) -> Answer:
    """Answer a query that somebody typed, or say why it is refused."""
    try:
        return _answer(ledger, _admitted(ledger, query), {})
    except duckdb.Error as error:
        raise _refused(str(error), hint="`walras sql 'SHOW TABLES'` tells what there is") from error


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
        if type(error) is duckdb.Error:  # what Postgres itself said has no class of its own
            raise _denied(error) from error
        raise
    return Answer(columns=tuple(_told_apart(relation.columns)), rows=tuple(rows))


def _shown(place: int, kind: str) -> str:
    if INSTANT in kind:
        return f"#{place}::VARCHAR"
    return f"#{place}::HUGEINT" if kind == WHOLE else f"#{place}"


def _told_apart(names: Iterable[str]) -> Iterator[str]:
    """The names of an answer's columns, none of them twice."""
    taken: set[str] = set()
    for name in names:
        candidates = chain([name], (f"{name}_{number}" for number in count(2)))
        taken.add(free := next(c for c in candidates if c not in taken))
        yield free


def _admitted(ledger: duckdb.DuckDBPyConnection, query: str) -> duckdb.Statement:
    statements = ledger.extract_statements(query)
    if len(statements) != 1:
        raise _refused(f"it has {len(statements)} statements", hint="Ask one question at a time")
    strangers = sorted(set(_calls(_parse(ledger, statements[0].query))))
    if strangers:
        hint = "Read the views; `walras sql 'SHOW TABLES'` names them"
        raise _refused(f"it may not call {', '.join(strangers)}", hint=hint)
    return statements[0]


def _parse(ledger: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = ledger.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchone()
    assert row is not None
    tree = json.loads(row[0])
    if tree["error"]:
        hint = "The ledger is only read here: ask with SELECT, DESCRIBE, SUMMARIZE or SHOW"
        raise _refused("it is no SELECT", hint=hint)
    return tree


def _calls(node: Any) -> Iterator[str]:
    """The names of the functions in a parsed query that a stranger may not call."""
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
    said = str(error).splitlines()[0].partition("ERROR:")
    return WalrasError(
        "Postgres refuses to answer",
        detail=(said[2] or said[0]).strip(),
        hint="Let the user of WALRAS_POSTGRES_DSN read the views of schema walras",
    )


def _refused(detail: str, *, hint: str) -> WalrasError:
    return SettingsError("the query was not run", detail=detail, hint=hint)
