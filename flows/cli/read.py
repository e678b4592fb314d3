"""Reading the ledger from the command line: windows, prices, bids, balances, and SQL.

Promise: only committed windows are shown, and nothing here can change anything. Where no server
runs, the embedded ones are started for as long as the command takes. DuckDB and the rest are loaded
when a command runs, so that help comes at once.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.analytics.questions import Question
from flows.cli.console import AsJson, print_json, start

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from connectors.duckdb.query import Answer

SHOWN_WINDOWS: Final = 20
SHOWN_PRICES: Final = 5
SINCE: Final = {
    Question.WINDOWS: Question.SINCE,
    Question.PRICES: Question.SINCE_PRICES,
    Question.BIDS: Question.SINCE_BIDS,
}
"""Which question finds the first of the last windows for which."""
JSON_COLUMNS: Final = frozenset({"bundle"})
"""Objects that the ledger gives as JSON text."""

Last = Annotated[int, Parameter(validator=Number(gte=1), help="Number of last windows to show.")]
Market = Annotated[str, Parameter(help="Market name.")]
OrEveryAgent = Annotated[str | None, Parameter(help="Agent name (default: all).")]


def windows(*, last: Last = SHOWN_WINDOWS, as_json: AsJson = False) -> None:
    _show(Question.WINDOWS, title="Windows", last=last, as_json=as_json)


def prices(
    market: Annotated[str | None, Parameter(help="Market name (default: all).")] = None,
    *,
    last: Last = SHOWN_PRICES,
    as_json: AsJson = False,
) -> None:
    title = "Prices, in credits per unit"
    _show(Question.PRICES, title=title, last=last, market=market, as_json=as_json)


def bids(
    market: Market,
    agent: OrEveryAgent = None,
    /,
    *,
    last: Last = SHOWN_PRICES,
    as_json: AsJson = False,
) -> None:
    title = "Bids, in credits"
    _show(Question.BIDS, title=title, last=last, market=market, agent=agent, as_json=as_json)


def balance(market: Market, agent: OrEveryAgent = None, /, *, as_json: AsJson = False) -> None:
    title = "Balances, in credits"
    _show(Question.BALANCES, title=title, market=market, agent=agent, as_json=as_json)


def sql(
    query: Annotated[str, Parameter(help="One SELECT over the views: FROM bids LIMIT 5")],
    /,
    *,
    as_json: AsJson = False,
) -> None:
    from connectors.duckdb.query import run_untrusted
    from flows.cli.tables import print_table, raw_table_of

    with _ledger() as ledger:
        found = run_untrusted(ledger, query)
    if as_json:
        print_json(found.records())
    else:
        print_table(raw_table_of(found))


def _show(  # noqa: PLR0913 - what a command line names, and how to show it
    question: Question,
    *,
    title: str,
    as_json: bool,
    last: int = 0,
    market: str | None = None,
    agent: str | None = None,
) -> None:
    """Print the answer to a question, of the last windows where it is asked of windows."""
    from flows.analytics.answers import answer, first_of_last
    from flows.cli.tables import show

    with _ledger() as ledger:
        since = 0
        if find_first := SINCE.get(question):
            since = first_of_last(ledger, last, of=find_first, market=market, agent=agent)
        found = answer(ledger, question, market=market, agent=agent, since=since)
    show(_with_objects(found), title=title, as_json=as_json)


@contextmanager
def _ledger() -> Iterator["DuckDBPyConnection"]:
    from connectors.duckdb.ledger import open_ledger
    from flows.runtime.servers import open_servers

    with open_servers(start()) as servers, open_ledger(servers.postgres_dsn) as ledger:
        yield ledger


def _with_objects(found: "Answer") -> "Answer":
    """The answer with its JSON columns read."""
    from connectors.duckdb.query import Answer

    are_json = [column in JSON_COLUMNS for column in found.columns]

    def read(row: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(row, are_json, strict=True)
        return tuple(json.loads(value) if is_json else value for value, is_json in pairs)

    return Answer(columns=found.columns, rows=tuple(map(read, found.rows)))
