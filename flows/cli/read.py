"""Questions to the ledger from the command line.

Promise: only committed windows are told of, and nothing here can change anything. Where no server
runs, the embedded ones are started for the moment.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import duckdb
from cyclopts import Parameter
from cyclopts.validators import Number

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import Answer, run_untrusted
from flows.analytics.questions import Question, answer, first_of_last
from flows.cli.console import AsJson, say_json
from flows.cli.tables import print_table, raw_table_of, show
from flows.runtime.servers import open_servers
from flows.runtime.settings import load_settings

SHOWN_WINDOWS: Final = 20
SHOWN_PRICES: Final = 5

Last = Annotated[int, Parameter(validator=Number(gte=1), help="How many of the last windows.")]
Market = Annotated[str, Parameter(help="Name of the market.")]
OrEveryAgent = Annotated[str | None, Parameter(help="Name of the agent, else all.")]


def windows(*, last: Last = SHOWN_WINDOWS, as_json: AsJson = False) -> None:
    with _ledger() as ledger:
        found = answer(ledger, Question.WINDOWS, since=first_of_last(ledger, last))
    show(found, title="Windows", as_json=as_json)


def prices(
    market: Annotated[str | None, Parameter(help="Name of the market, else all.")] = None,
    *,
    last: Last = SHOWN_PRICES,
    as_json: AsJson = False,
) -> None:
    with _ledger() as ledger:
        since = first_of_last(ledger, last, of=Question.SINCE_PRICES, market=market)
        found = answer(ledger, Question.PRICES, market=market, since=since)
    show(found, title="Prices, in credits a unit", as_json=as_json)


def bids(
    market: Market,
    agent: OrEveryAgent = None,
    /,
    *,
    last: Last = SHOWN_PRICES,
    as_json: AsJson = False,
) -> None:
    with _ledger() as ledger:
        since = first_of_last(ledger, last, of=Question.SINCE_BIDS, market=market, agent=agent)
        found = answer(ledger, Question.BIDS, market=market, agent=agent, since=since)
    show(_with_objects(found, "bundle"), title="Bids, in credits", as_json=as_json)


def balance(market: Market, agent: OrEveryAgent = None, /, *, as_json: AsJson = False) -> None:
    with _ledger() as ledger:
        found = answer(ledger, Question.BALANCES, market=market, agent=agent)
    show(found, title="Balances, in credits", as_json=as_json)


def sql(
    query: Annotated[str, Parameter(help="One SELECT over the views: FROM bids LIMIT 5")],
    /,
    *,
    as_json: AsJson = False,
) -> None:
    with _ledger() as ledger:
        found = run_untrusted(ledger, query)
    if as_json:
        say_json(found.records())
    else:
        print_table(raw_table_of(found))


@contextmanager
def _ledger() -> Iterator[duckdb.DuckDBPyConnection]:
    with (
        open_servers(load_settings()) as servers,
        open_ledger(servers.postgres_dsn) as ledger,
    ):
        yield ledger


def _with_objects(found: Answer, column: str) -> Answer:
    """The answer with the objects of a column read, which the ledger tells as JSON text."""
    place = found.columns.index(column)

    def read(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*row[:place], json.loads(row[place]), *row[place + 1 :])

    return Answer(columns=found.columns, rows=tuple(map(read, found.rows)))
