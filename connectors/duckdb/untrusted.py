"""What a user may ask in SQL, and what is said of the rest.

Promise: what passes is one SELECT, or the EXPLAIN of one, in which every function that produces a
table is known to stay inside DuckDB.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import duckdb

from state.errors import SettingsError, WalrasError

TABLE_FUNCTIONS: Final = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})

# The one scalar function that binds a query given to it as text, with all that it calls.
SCALARS_REFUSED: Final = frozenset({"json_serialize_plan"})

COMMENTS: Final = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
EXPLAIN: Final = re.compile(
    rf"{COMMENTS}explain\b{COMMENTS}(analyze\b)?(.*)", re.IGNORECASE | re.DOTALL
)
UNKNOWN_TABLE: Final = re.compile(r"Table with name (\S+) does not exist")
OUR_OWN: Final = re.compile(r"\s*LINE 1: SELECT #1.*", re.DOTALL)
OURS: Final = "SHOW TABLES lists the views, DESCRIBE bids the columns of one"


def check(ledger: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> duckdb.Statement | str:
    """What to run for a statement that a user typed, or a `SettingsError` that refuses it."""
    if statement.type != duckdb.StatementType.EXPLAIN:
        _check_select(ledger, statement.query)
        return statement
    found = EXPLAIN.fullmatch(statement.query)
    analyze, query = found.groups() if found else ("", statement.query)
    _check_select(ledger, query)
    return f"EXPLAIN {analyze or ''} {query}"


def suggestion(error: str, views: Callable[[], Sequence[str]]) -> tuple[str, str]:
    """The detail and the hint for what DuckDB said, which knows tables that are not ours."""
    unknown = UNKNOWN_TABLE.search(error)
    if unknown is None:
        return OUR_OWN.sub("", error), OURS
    name = unknown[1].strip('"')
    near = get_close_matches(name.rpartition(".")[2].lower(), views(), n=1)
    hint = f"Did you mean {near[0]}? {OURS}" if near else OURS
    return f"there is no view {name}", hint


def refused(detail: str, *, hint: str) -> WalrasError:
    """The failure of a query that was not run."""
    return SettingsError("the query was not run", detail=detail, hint=hint)


def _check_select(ledger: duckdb.DuckDBPyConnection, sql: str) -> None:
    unknown = sorted(set(_calls(_parse(ledger, sql))))
    if unknown:
        hint = "Read the views that SHOW TABLES lists"
        raise refused(f"it may not call {', '.join(unknown)}", hint=hint)


def _parse(ledger: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = ledger.execute("SELECT json_serialize_sql($sql)", {"sql": sql}).fetchone()
    assert row is not None
    tree = json.loads(row[0])
    if tree["error"]:
        hint = "The ledger is read-only: use SELECT, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN"
        raise refused("only SELECT is allowed", hint=hint)
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
