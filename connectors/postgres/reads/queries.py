"""The queries of agents to the ledger: a balance, the last prices, past results.

**Promise:** each reply is one snapshot of what is committed, and past results are equal to those
that were published. A query that takes too long is cancelled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, IsolationLevel
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from connectors.postgres.connection import connection_parameters, set_limits, translate_errors
from connectors.postgres.reads.history import Owner, read_results
from connectors.postgres.statements import read_statement
from walras_schemas import (
    BalanceReply,
    HistoryQuery,
    HistoryReply,
    PricesReply,
    QueryError,
    QueryErrorReason,
    ResourcePrice,
)

APPLICATION_NAME: Final = "walras queries"
CONNECTIONS: Final = 3
WAIT_S: Final = 2.0
STATEMENT_LIMIT_S: Final = 3

_LAST_WINDOW: Final = "SELECT max(window_id) FROM walras.prices WHERE market = %s"
_OWNER: Final = read_statement("owner")
_PRICES: Final = read_statement("last_prices")


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """Answers queries; one that cannot be answered gets a `QueryError`."""

    _pool: ConnectionPool

    def balance(self, market: str, agent: str) -> BalanceReply | QueryError:
        """The agent's balance."""
        with self._reading() as conn:
            owner = _owner(conn, market, agent)
        if isinstance(owner, QueryError):
            return owner
        if owner.balance_micros is None:
            return _unknown_agent(market, agent)
        return BalanceReply(
            market=market,
            agent_id=agent,
            window_id=owner.last_window,
            balance_micros=owner.balance_micros,
        )

    def prices(self, market: str) -> PricesReply | QueryError:
        """The prices of the market's last window."""
        with self._reading() as conn:
            last_window = _last_window(conn, market)
            if last_window is None:
                return _unknown_market(market)
            with conn.cursor(row_factory=class_row(ResourcePrice)) as cursor:
                prices = cursor.execute(_PRICES, [market, last_window]).fetchall()
        return PricesReply(market=market, window_id=last_window, prices=prices)

    def history(self, market: str, agent: str, query: HistoryQuery) -> HistoryReply | QueryError:
        """A page of the agent's past results, one per window."""
        with self._reading() as conn:
            owner = _owner(conn, market, agent)
            if isinstance(owner, QueryError):
                return owner
            results = read_results(
                conn,
                owner,
                after_window=query.after_window,
                before_window=query.before_window,
                limit=query.limit,
            )
        return HistoryReply(market=market, agent_id=agent, results=results)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translate_errors(), self._pool.connection(timeout=WAIT_S) as conn:
            yield conn


@contextmanager
def open_reader(dsn: str) -> Iterator[LedgerReader]:
    """A reader with a few connections of its own, opened when a query needs them."""
    parameters = connection_parameters(dsn)

    def read_snapshots(conn: Connection) -> None:
        set_limits(conn, parameters, statement_timeout=f"{STATEMENT_LIMIT_S}s")
        conn.commit()
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True

    with ConnectionPool(
        kwargs=parameters | {"application_name": APPLICATION_NAME},
        configure=read_snapshots,
        check=ConnectionPool.check_connection,
        min_size=0,
        max_size=CONNECTIONS,
        reconnect_timeout=WAIT_S,
        name=APPLICATION_NAME,
    ) as pool:
        yield LedgerReader(pool)


def _owner(conn: Connection, market: str, agent: str) -> Owner | QueryError:
    last_window = _last_window(conn, market)
    if last_window is None:
        return _unknown_market(market)
    found = conn.execute(_OWNER, [market, agent]).fetchone()
    if found is None:
        return _unknown_agent(market, agent)
    shard, account, balance_micros = found
    return Owner(
        market,
        agent,
        shard=shard,
        account=account,
        last_window=last_window,
        balance_micros=None if balance_micros is None else int(balance_micros),
    )


def _last_window(conn: Connection, market: str) -> int | None:
    newest = conn.execute(_LAST_WINDOW, [market]).fetchone()
    return None if newest is None else newest[0]


def _unknown_market(market: str) -> QueryError:
    return QueryError(
        reason=QueryErrorReason.UNKNOWN_MARKET,
        detail=f"no window of a market {market} is in the ledger",
    )


def _unknown_agent(market: str, agent: str) -> QueryError:
    return QueryError(
        reason=QueryErrorReason.UNKNOWN_AGENT,
        detail=f"{agent} has never received credits in the market {market}",
    )
