"""Whether a market or an agent that somebody named is one: a typing error is no empty answer.

Promise: what is in the ledger is never refused; the names that there are, or those near, are shown.
"""

from difflib import get_close_matches
from typing import Final

import duckdb

from connectors.duckdb.query import ask
from state.errors import WalrasError

MARKETS: Final = "SELECT market FROM markets ORDER BY market"
AGENTS: Final = "SELECT agent_id FROM accounts WHERE market = $market ORDER BY agent_id"
SHOWN: Final = 8


def require_known(ledger: duckdb.DuckDBPyConnection, *, market: str, agent: str | None) -> None:
    """Refuse a market that was never opened, or an agent that never had an account in it."""
    _require(market, [str(name) for (name,) in ask(ledger, MARKETS).rows], what="market")
    if agent is not None:
        agents = [str(name) for (name,) in ask(ledger, AGENTS, market=market).rows]
        _require(agent, agents, what="agent")


def _require(name: str, known: list[str], *, what: str) -> None:
    if name in known:
        return
    near = get_close_matches(name, known, n=SHOWN) or known
    shown = ", ".join(near[:SHOWN]) + (" …" if len(near) > SHOWN else "")
    raise WalrasError(
        f"there is no {what} {name}",
        detail=f"there are {shown}" if known else f"there is no {what} yet",
        hint="Check the name: markets begin with `walras market open`, agents with `walras grant`",
    )
