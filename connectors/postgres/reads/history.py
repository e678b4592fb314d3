"""Past results of one agent, window by window, in the form in which they were published.

**Promise:** whole windows only, oldest first. The windows of a page are found by steps along the
index of the agent's bids, so a long history makes a page no slower. Its distance from now does,
because balances are computed backwards from the current one: the first of 200 000 windows took
0.4 s.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final, NamedTuple, TypeVar

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.sql import SQL

from connectors.postgres.reads.outcomes import BidRow, CommandRow, CreditRow, outcome_status
from connectors.postgres.statements import read_statement
from walras_schemas import RESULT_MAX_BYTES, AgentResult, BidOutcome, CommandOutcome, Credit

PAGE_ROWS: Final = 10_000
"""Of one kind. More than fit into one message: a window that has more is only counted."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

R = TypeVar("R", BidRow, CommandRow, CreditRow)
Direction = Mapping[str, SQL]
"""What the direction puts into a statement: the order, and where the next window lies."""

_WINDOW_LENGTH: Final = "SELECT window_ms FROM ledger.shard WHERE shard = %s"
_FORWARD: Final[Direction] = {
    "order": SQL("ASC"),
    "beyond": SQL(""""timestamp" >= timestamptz 'epoch' + (here.window_id + 1) * %(length)s"""),
}
_BACKWARD: Final[Direction] = {
    "order": SQL("DESC"),
    "beyond": SQL(""""timestamp" < timestamptz 'epoch' + here.window_id * %(length)s"""),
}
_WINDOWS: Final = SQL(read_statement("history_windows"))
_BIDS: Final = SQL(read_statement("history_bids"))
_COMMANDS: Final = SQL(read_statement("history_commands"))
_CREDITS: Final = SQL(read_statement("history_credits"))
_COUNTS: Final = read_statement("history_counts")
_MOVED: Final = read_statement("history_moved")


@dataclass(frozen=True, slots=True)
class Owner:
    """An agent that a market's log names, with its balance after the market's last window."""

    market: str
    agent: str
    shard: int
    account: int
    last_window: int
    balance_micros: int | None
    """None for one that never moved credits."""


def read_results(
    conn: Connection,
    owner: Owner,
    *,
    after_window: int | None,
    before_window: int | None,
    limit: int,
) -> list[AgentResult]:
    """The oldest windows after one, else the newest before one; empty when there are no more."""
    found = conn.execute(_WINDOW_LENGTH, [owner.shard]).fetchone()
    assert found is not None, "an agent with a number was named in a window of the shard"
    pages = _Pages(conn, owner, length=timedelta(milliseconds=found[0]))
    end_window = owner.last_window + 1
    span = _Span(
        first_window=0 if after_window is None else min(after_window, owner.last_window) + 1,
        end_window=end_window if before_window is None else min(before_window, end_window),
    )
    return pages.read(span, _BACKWARD if after_window is None else _FORWARD, limit=limit)


class _Span(NamedTuple):
    """Windows from the first to the one before the end."""

    first_window: int
    end_window: int


class _Rows(NamedTuple):
    """What a page has of each kind, in the direction in which it is read."""

    bids: list[BidRow]
    commands: list[CommandRow]
    credits: list[CreditRow]

    def cut(self) -> set[int]:
        """The windows of which some rows were left out."""
        return {rows[-1].window_id for rows in self if len(rows) > PAGE_ROWS}


@dataclass(frozen=True, slots=True)
class _Pages:
    """The history of one owner, read forward or backward."""

    conn: Connection
    owner: Owner
    length: timedelta

    def read(self, span: _Span, direction: Direction, *, limit: int) -> list[AgentResult]:
        """The first windows of a span in a direction, up to a limit."""
        windows = self._windows(span, direction, limit)
        if not windows:
            return []
        page = _Span(min(windows), max(windows) + 1)
        rows = self._rows(page, direction)
        cut = rows.cut()
        whole = sorted(takewhile(lambda window: window not in cut, windows))
        if not whole:
            return [self._counted(windows[0])]
        return self._results(whole, rows)

    def _windows(self, span: _Span, direction: Direction, limit: int) -> list[int]:
        parameters = self._parameters(span) | {"length": self.length, "limit": limit}
        query = _WINDOWS.format(**direction)
        return [window for (window,) in self.conn.execute(query, parameters)]

    def _rows(self, page: _Span, direction: Direction) -> _Rows:
        return _Rows(
            bids=self._rows_of(BidRow, _BIDS, page, direction),
            commands=self._rows_of(CommandRow, _COMMANDS, page, direction),
            credits=self._rows_of(CreditRow, _CREDITS, page, direction),
        )

    def _rows_of(self, kind: type[R], query: SQL, page: _Span, direction: Direction) -> list[R]:
        """At most one row more than `PAGE_ROWS`, which shows that there are more."""
        parameters = self._parameters(page) | {"rows": PAGE_ROWS + 1}
        statement = query.format(order=direction["order"])
        with self.conn.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(statement, parameters).fetchall()

    def _results(self, windows: Sequence[int], rows: _Rows) -> list[AgentResult]:
        balances = self._balances(windows)
        outcomes: defaultdict[int, list[BidOutcome | CommandOutcome]] = defaultdict(list)
        received: defaultdict[int, list[Credit]] = defaultdict(list)
        for bid in rows.bids:
            outcomes[bid.window_id].append(bid.outcome())
        for command in rows.commands:
            outcomes[command.window_id].append(command.outcome())
        for credit in rows.credits:
            received[credit.window_id].append(credit.credit())
        return [
            _fitting(
                self._result(
                    window,
                    balances[window],
                    complete=True,
                    outcomes=sorted(outcomes[window], key=_place),
                    credits=sorted(received[window], key=_place),
                )
            )
            for window in windows
        ]

    def _counted(self, window: int) -> AgentResult:
        """The result of a window that is too large for a message, without reading its rows."""
        ended = self.conn.execute(_COUNTS, self._parameters(_Span(window, window + 1)))
        counts = {outcome_status(text): count for text, count in ended}
        balance_micros = self._balances([window])[window]
        return self._result(window, balance_micros, complete=False, counts=counts)

    def _result(self, window: int, balance_micros: int, **content: Any) -> AgentResult:
        return AgentResult(
            market=self.owner.market,
            agent_id=self.owner.agent,
            shard=self.owner.shard,
            window_id=window,
            balance_micros=balance_micros,
            **content,
        )

    def _balances(self, windows: Iterable[int]) -> Mapping[int, int]:
        """The balance after each window: the current one less all that moved since."""
        parameters = self._parameters(_Span(min(windows), max(windows) + 1))
        moved = {window: int(micros) for window, micros in self.conn.execute(_MOVED, parameters)}
        balances, balance = {}, self.owner.balance_micros or 0
        for window in sorted({*windows, *moved}, reverse=True):
            balances[window] = balance
            balance -= moved.get(window, 0)
        return balances

    def _parameters(self, span: _Span) -> dict[str, Any]:
        return {
            "market": self.owner.market,
            "agent": self.owner.agent,
            "shard": self.owner.shard,
            "account": self.owner.account,
            "end_window": span.end_window,
            "from_at": _EPOCH + span.first_window * self.length,
            "until_at": _EPOCH + span.end_window * self.length,
        }


def _place(row: BidOutcome | CommandOutcome | Credit) -> tuple[int, int]:
    return row.seq, row.ord


def _fitting(result: AgentResult) -> AgentResult:
    """The result, or where that is too large for a message its outcomes in numbers."""
    if len(result.model_dump_json(exclude_none=True).encode()) <= RESULT_MAX_BYTES:
        return result
    counts = Counter(outcome.status for outcome in result.outcomes or ())
    left_out = {"complete": False, "outcomes": None, "credits": None, "counts": dict(counts)}
    return result.model_copy(update=left_out)
