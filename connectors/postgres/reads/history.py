"""Past results of one agent, window by window, as they were published.

Promise: whole windows only, oldest first. The windows of a page are found by steps along the index
of the agent's bids, so a long history makes a page no slower. Its distance from now does, because
balances are computed backwards from the current one: the first of 200 000 windows took 0.4 s.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final, LiteralString, NamedTuple, TypeVar

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.sql import SQL

from connectors.postgres.statements import read_statement
from walras_schemas import (
    AgentResult,
    BidOutcome,
    BidStatus,
    CommandOutcome,
    CommandStatus,
    QueryError,
    QueryErrorReason,
    RejectionReason,
)

PAGE_OUTCOMES: Final = 10_000
"""More than fit into one message; a page has at least one window, however large that is."""
WINDOW_OUTCOMES: Final = 50_000
"""What is read of one window at most: some nine megabytes of results."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

R = TypeVar("R")
Direction = Mapping[str, SQL]
"""What the direction puts into a statement: the order, and where the next window lies."""

_SHARD: Final = """
    SELECT shard FROM walras.transactions WHERE market = %(market)s AND agent_id = %(agent)s LIMIT 1
"""
_WINDOW_LENGTH: Final = """
    SELECT closed_at - opened_at FROM walras.windows WHERE shard = %s LIMIT 1
"""
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
_ALLOCATIONS: Final = """
    SELECT seq, ord, resource, quantity FROM walras.allocations
    WHERE market = %(market)s AND agent_id = %(agent)s
    AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
"""
_MOVED: Final = """
    SELECT least(window_id, %(end_window)s), sum(amount_micros)::numeric
    FROM walras.transactions
    WHERE market = %(market)s AND agent_id = %(agent)s AND "timestamp" >= %(from_at)s
    GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """An agent that has an account, with its balance after the last window of its market."""

    market: str
    agent: str
    last_window: int
    balance_micros: int


def read_results(
    conn: Connection,
    owner: Owner,
    *,
    after_window: int | None,
    before_window: int | None,
    limit: int,
) -> list[AgentResult] | QueryError:
    """The oldest windows after one, else the newest before one; empty when there are no more.

    Each is one result, however large.
    """
    shard = _value(conn, _SHARD, {"market": owner.market, "agent": owner.agent})
    pages = _Pages(conn, owner, shard=shard, length=_value(conn, _WINDOW_LENGTH, [shard]))
    end_window = owner.last_window + 1
    span = _Span(
        first_window=0 if after_window is None else min(after_window, owner.last_window) + 1,
        end_window=end_window if before_window is None else min(before_window, end_window),
    )
    return pages.read(span, _BACKWARD if after_window is None else _FORWARD, limit=limit)


def _value(conn: Connection, query: LiteralString, parameters: Any) -> Any:
    row = conn.execute(query, parameters).fetchone()
    assert row is not None, "an agent with an account received credits in a window"
    return row[0]


class _Span(NamedTuple):
    """Windows from the first to the one before the end."""

    first_window: int
    end_window: int


class _BidRow(NamedTuple):
    window_id: int
    seq: int
    ord: int
    event_id: str
    status: str
    reason: str | None
    paid_micros: int


class _CommandRow(NamedTuple):
    window_id: int
    seq: int
    ord: int
    event_id: str
    type: Any
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Pages:
    """The history of one owner, read forward or backward."""

    conn: Connection
    owner: Owner
    shard: int
    length: timedelta

    def read(
        self, span: _Span, direction: Direction, *, limit: int
    ) -> list[AgentResult] | QueryError:
        """The first windows of a span in a direction, up to a limit."""
        windows = self._windows(span, direction, limit)
        if not windows:
            return []
        return (
            self._page(windows, direction, most=PAGE_OUTCOMES)
            or self._page(windows[:1], direction, most=WINDOW_OUTCOMES)
            or _too_large(windows[0])
        )

    def _page(
        self, windows: Sequence[int], direction: Direction, *, most: int
    ) -> list[AgentResult]:
        """The first of these windows, as many as have at most so many bids and commands."""
        page = _Span(min(windows), max(windows) + 1)
        bids = self._rows(_BidRow, _BIDS, page, direction, most=most)
        commands = self._rows(_CommandRow, _COMMANDS, page, direction, most=most)
        cut = {rows[-1].window_id for rows in (bids, commands) if len(rows) > most}
        whole = sorted(takewhile(lambda window: window not in cut, windows))
        return self._results(whole, bids, commands) if whole else []

    def _windows(self, span: _Span, direction: Direction, limit: int) -> list[int]:
        parameters = self._parameters(span) | {"length": self.length, "limit": limit}
        query = _WINDOWS.format(**direction)
        return [window for (window,) in self.conn.execute(query, parameters)]

    def _rows(
        self, kind: type[R], query: SQL, page: _Span, direction: Direction, *, most: int
    ) -> list[R]:
        """At most one row more than `most`, which shows that there are more."""
        parameters = self._parameters(page) | {"rows": most + 1}
        statement = query.format(order=direction["order"])
        with self.conn.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(statement, parameters).fetchall()

    def _results(
        self, windows: Sequence[int], bids: Iterable[_BidRow], commands: Iterable[_CommandRow]
    ) -> list[AgentResult]:
        page = _Span(windows[0], windows[-1] + 1)
        won, balances = self._won(page), self._balances(windows, page)
        outcomes: dict[int, list[BidOutcome | CommandOutcome]] = {window: [] for window in windows}
        for bid in bids:
            if bid.window_id in outcomes:
                outcomes[bid.window_id].append(_bid_outcome(bid, won[bid.seq, bid.ord]))
        for command in commands:
            if command.window_id in outcomes:
                outcomes[command.window_id].append(_command_outcome(command))
        return [
            AgentResult(
                market=self.owner.market,
                agent_id=self.owner.agent,
                shard=self.shard,
                window_id=window,
                balance_micros=balances[window],
                outcomes=sorted(outcomes[window], key=lambda outcome: (outcome.seq, outcome.ord)),
            )
            for window in windows
        ]

    def _won(self, page: _Span) -> Mapping[tuple[int, int], dict[str, int]]:
        """What each bid of the page won, by its position in the log."""
        won: defaultdict[tuple[int, int], dict[str, int]] = defaultdict(dict)
        for seq, ord_, resource, quantity in self.conn.execute(
            _ALLOCATIONS, self._parameters(page)
        ):
            won[seq, ord_][resource] = quantity
        return won

    def _balances(self, windows: Iterable[int], page: _Span) -> Mapping[int, int]:
        """The balance after each window: the current one less all that moved since."""
        parameters = self._parameters(page)
        moved = {window: int(micros) for window, micros in self.conn.execute(_MOVED, parameters)}
        balances, balance = {}, self.owner.balance_micros
        for window in sorted({*windows, *moved}, reverse=True):
            balances[window] = balance
            balance -= moved.get(window, 0)
        return balances

    def _parameters(self, span: _Span) -> dict[str, Any]:
        return {
            "market": self.owner.market,
            "agent": self.owner.agent,
            "first_window": span.first_window,
            "end_window": span.end_window,
            "from_at": _EPOCH + span.first_window * self.length,
            "until_at": _EPOCH + span.end_window * self.length,
        }


def _bid_outcome(row: _BidRow, won: Mapping[str, int]) -> BidOutcome:
    return BidOutcome(
        event_id=row.event_id,
        seq=row.seq,
        ord=row.ord,
        status=BidStatus(row.status),
        reason=_reason(row.reason),
        won=dict(won),
        paid_micros=row.paid_micros,
    )


def _command_outcome(row: _CommandRow) -> CommandOutcome:
    return CommandOutcome(
        event_id=row.event_id,
        seq=row.seq,
        ord=row.ord,
        type=row.type,
        status=CommandStatus(row.status),
        reason=_reason(row.reason),
    )


def _reason(text: str | None) -> RejectionReason | None:
    return None if text is None else RejectionReason(text)


def _too_large(window: int) -> QueryError:
    return QueryError(
        reason=QueryErrorReason.TOO_LARGE,
        detail=f"window {window} has more than {WINDOW_OUTCOMES} outcomes of this agent",
    )
