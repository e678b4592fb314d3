"""One ledger holds all shards, and each of them stays by itself."""

from dataclasses import replace

import pytest
from psycopg import Connection

from connectors.postgres.ledger.transaction import claim, commit_window
from state.errors import LogError
from tests.connectors.postgres.asking import counts, rows_of_view
from tests.connectors.postgres.windows import (
    LOG,
    WINDOW_MS,
    busy_window,
    claim_log,
    grant,
    lost,
    window,
)


def test_a_market_stays_in_its_shard(conn: Connection) -> None:
    """With another number of shards a market goes elsewhere: two shards would set its balances."""
    commit_window(conn, busy_window(), token=claim_log(conn).token)
    before, second = counts(conn), claim(conn, 1, identity=LOG, window_ms=WINDOW_MS)
    stray = replace(busy_window(), shard=1)
    with pytest.raises(LogError, match="shard 1 opened m1"):
        commit_window(conn, stray, token=second.token)
    assert before == counts(conn)


def test_a_market_that_another_shard_only_names_stops_nobody(conn: Connection) -> None:
    """Whoever can publish could send a bid to the wrong shard, where no such market is open."""
    commit_window(conn, busy_window(), token=claim_log(conn).token)
    before, second = counts(conn), claim(conn, 1, identity=LOG, window_ms=WINDOW_MS)
    stray = replace(window(bids=[lost(1, "a1")]), shard=1)
    assert commit_window(conn, stray, token=second.token) is True
    assert before["accounts"] == counts(conn)["accounts"]
    bids = rows_of_view(conn, "bids")
    assert [(0, "m1"), (0, "m1"), (1, "m1")] == sorted(
        (row["shard"], row["market"]) for row in bids
    )


def test_shards_do_not_touch_each_other(conn: Connection) -> None:
    """One ledger holds them all: a position or token read across would skip messages."""
    zero, one = claim_log(conn), claim(conn, 1, identity=LOG, window_ms=WINDOW_MS)
    commit_window(conn, busy_window(), token=zero.token)
    other = window(commands=[grant(1, "a1", 5, market="m2")], bids=[lost(2, "a9")])
    assert commit_window(conn, replace(other, shard=1), token=one.token) is True
    assert 11 == claim(conn, 1, identity=LOG, window_ms=WINDOW_MS).position.next_seq
    bidders = {(row["shard"], row["agent_id"]) for row in rows_of_view(conn, "bids")}
    assert {(0, "a1"), (0, "a2"), (1, "a9")} == bidders
