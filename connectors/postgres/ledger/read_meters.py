"""Meters, open holds and the lots that may still be drawn on, as the last window left them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import dict_row

from connectors.postgres.statements import read_statement
from state.lots import Hold, Lot, MarketMeters, Meter
from state.names import Names

_MARKETS: Final = "SELECT market, lag_windows, meters FROM ledger.listing WHERE shard = %s"
_METERED: Final = """
    SELECT market, resource FROM ledger.metered_resource JOIN ledger.listing USING (market)
    WHERE shard = %s
"""
_METERS: Final = """
    SELECT m.market, meter, epoch, next_n, window_id
    FROM walras.meters AS m JOIN ledger.listing USING (market)
    WHERE shard = %s
"""
_LOTS: Final = read_statement("restore_lots")
_HOLDS: Final = "SELECT * FROM ledger.open_hold WHERE shard = %s ORDER BY market, meter, epoch, n"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Lots = Mapping[tuple[int, str, int], Lot]
"""By account, resource and window."""


def read_meters(conn: Connection, shard: int, names: Names) -> dict[str, MarketMeters]:
    """The meters of each market that was ever opened, with what they hold and may hold."""
    markets = {
        market: MarketMeters(lag_windows=lag_windows, count=count)
        for market, lag_windows, count in conn.execute(_MARKETS, [shard])
    }
    for market, resource in conn.execute(_METERED, [shard]):
        markets[market].metered.add(resource)
    for market, number, *as_it_is in conn.execute(_METERS, [shard]):
        markets[market].opened[number] = Meter(*as_it_is)
    if opened := [meter for market in markets.values() for meter in market.opened.values()]:
        oldest = min(meter.window_id for meter in opened)
        lots = _read_lots(conn, shard, oldest, markets, names)
        _read_holds(conn, shard, markets, names, lots)
    return markets


def _read_lots(
    conn: Connection, shard: int, oldest: int, markets: Mapping[str, MarketMeters], names: Names
) -> _Lots:
    lots: dict[tuple[int, str, int], Lot] = {}
    for row in conn.cursor(row_factory=dict_row).execute(_LOTS, {"shard": shard, "oldest": oldest}):
        account = row.pop("account")
        market, agent = names.accounts[account]
        lot = Lot(agent, free=row["units"] - row["held"] - row["used"], **row)
        meters = markets[market]
        meters.opened[meters.number_of(agent)].add(lot)
        lots[account, lot.resource, lot.window_id] = lot
    return lots


def _read_holds(
    conn: Connection, shard: int, markets: Mapping[str, MarketMeters], names: Names, lots: _Lots
) -> None:
    for row in conn.cursor(row_factory=dict_row).execute(_HOLDS, [shard]):
        draws = zip(row["draw_windows"], row["draw_units"], strict=True)
        hold = Hold(
            epoch=row["epoch"],
            n=row["n"],
            agent=names.accounts[row["account"]][1],
            resource=row["resource"],
            quantity=row["quantity"],
            window_id=row["hold_window"],
            seq=row["held_seq"],
            time_ns=_time_ns(row),
            draws=tuple((lots[row["account"], row["resource"], k], units) for k, units in draws),
        )
        markets[row["market"]].opened[row["meter"]].holds[hold.n] = hold


def _time_ns(row: Mapping[str, Any]) -> int:
    micros = (row["held_at"] - _EPOCH) // timedelta(microseconds=1)
    return int(micros) * 1000 + int(row["held_rest_ns"])
