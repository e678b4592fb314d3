"""Reading the ledger from the command line: windows, prices, bids, balances.

Promise: only committed windows are shown, and nothing here can change anything. Where no server
runs, the embedded ones are started for as long as the command takes. DuckDB and the rest are loaded
when a command runs, so that help comes at once.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.analytics.questions import Question
from flows.cli.console import print_status, start
from flows.cli.numbers import WHOLE
from flows.cli.output import AS_TABLE, Output, show
from flows.cli.tables import Sheet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHOWN_WINDOWS: Final = 20
SHOWN_PRICES: Final = 5
LAST_MAX: Final = 1_000_000
SINCE: Final = {
    Question.WINDOWS: Question.SINCE,
    Question.PRICES: Question.SINCE_PRICES,
    Question.BIDS: Question.SINCE_BIDS,
}
"""Which question finds the first of the last windows for which."""
FIRST_TO_GO: Final = {
    Question.WINDOWS: ("committed_at", "digest", "shard", "messages"),
    Question.PRICES: ("stale", "market", "supply", "reference_micros", "demanded"),
    Question.BIDS: (
        "event_id",
        "market",
        "kind",
        "ord",
        "limit_micros",
        "window_id",
        "seq",
        "reason",
    ),
}
"""What a narrow terminal does without, the least important column first."""

Last = Annotated[
    int,
    WHOLE,
    Parameter(validator=Number(gte=1, lte=LAST_MAX), help="Number of last windows to show."),
]
Market = Annotated[str, Parameter(help="Market name.")]
OrEveryAgent = Annotated[str | None, Parameter(help="Agent name (default: all).")]


def windows(*, last: Last = SHOWN_WINDOWS, output: Output = AS_TABLE) -> None:
    _show(Question.WINDOWS, title="Windows, paid in credits", last=last, output=output)


def prices(
    market: Annotated[str | None, Parameter(help="Market name (default: all).")] = None,
    *,
    last: Last = SHOWN_PRICES,
    output: Output = AS_TABLE,
) -> None:
    title = "Prices, in credits per unit"
    _show(Question.PRICES, title=title, last=last, market=market, output=output)


def bids(
    market: Market,
    agent: OrEveryAgent = None,
    /,
    *,
    last: Last = SHOWN_PRICES,
    output: Output = AS_TABLE,
) -> None:
    title = "Bids, in credits"
    _show(Question.BIDS, title=title, last=last, market=market, agent=agent, output=output)


def balance(market: Market, agent: OrEveryAgent = None, /, *, output: Output = AS_TABLE) -> None:
    title = "Balances, in credits"
    _show(Question.BALANCES, title=title, market=market, agent=agent, output=output)


def allowance(market: Market, agent: OrEveryAgent = None, /, *, output: Output = AS_TABLE) -> None:
    title = "Allowances, in units"
    _show(Question.ALLOWANCES, title=title, market=market, agent=agent, output=output)


def _show(  # noqa: PLR0913 - what a command line names, and how to show it
    question: Question,
    *,
    title: str,
    output: Output,
    last: int = 0,
    market: str | None = None,
    agent: str | None = None,
) -> None:
    """Print the answer to a question, of the last windows where it is asked of windows."""
    from flows.analytics.answers import answer, first_of_last
    from flows.cli.known import require_known

    form = output.form
    with ledger() as opened:
        since = 0
        if find_first := SINCE.get(question):
            since = first_of_last(opened, last, of=find_first, market=market, agent=agent)
        found = answer(opened, question, market=market, agent=agent, since=since)
        if not found.rows and market:
            require_known(opened, market=market, agent=agent)
    if not found.rows and form in ("table", "line", "markdown"):
        print_status(f"{title}: nothing yet")
        return
    show(
        Sheet(found.columns, found.rows, title, first_to_go=FIRST_TO_GO.get(question, ())),
        form,
    )


@contextmanager
def ledger() -> Iterator["DuckDBPyConnection"]:
    """The ledger of this deployment, opened for a block of questions."""
    from connectors.duckdb.ledger import open_ledger
    from flows.runtime.deployment import for_reading
    from flows.runtime.servers import open_servers

    with (
        open_servers(for_reading(start())) as servers,
        open_ledger(servers.postgres_dsn) as opened,
        _interruptible(opened),
    ):
        yield opened


@contextmanager
def _interruptible(opened: "DuckDBPyConnection") -> Iterator[None]:
    """Let Ctrl-C reach DuckDB's own threads too, which would be waited for otherwise."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        opened.interrupt()
        before(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
