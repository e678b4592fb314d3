"""Names by their numbers, and balances: as many as there are agents, read in a few large pieces."""

from itertools import count
from typing import Final

from psycopg import Connection
from psycopg.sql import SQL, Literal

from connectors.postgres.ledger.binary import Layout
from state.accounts import ShardAccounts
from state.names import Names

_ACCOUNTS: Final = SQL("""
    COPY (SELECT market, agent_id FROM ledger.account WHERE shard = {} ORDER BY account) TO STDOUT
""")
_RESOURCES: Final = "SELECT name FROM ledger.resource_name WHERE shard = %s ORDER BY resource"
_BALANCES: Final = Layout(account=">i4", micros=">i8")
_NARROW: Final = SQL("""
    SELECT account, balance_micros FROM ledger.account
    WHERE shard = {} AND balance_micros IS NOT NULL
""")
# As text a balance becomes an int at once, and not a Decimal first.
_WIDE: Final = """
    SELECT account, wide_micros::text FROM ledger.account
    WHERE shard = %s AND wide_micros IS NOT NULL
"""


def read_names(conn: Connection, shard: int) -> Names:
    """All names of a shard, under the numbers that its log gave them."""
    with conn.cursor() as cursor, cursor.copy(_ACCOUNTS.format(Literal(shard))) as copy:
        lines = b"".join(copy).decode().splitlines()
    # No name needs an escape in this format.
    owners = [(market, owner) for market, owner in (line.split("\t") for line in lines)]
    names = Names(accounts=owners, account_numbers=dict(zip(owners, count(), strict=False)))
    for market, _ in owners:
        if market not in names.market_numbers:
            names.market_numbers[market] = len(names.markets)
            names.markets.append(market)
    names.market_of = [names.market_numbers[market] for market, _ in owners]
    names.resources = [name for (name,) in conn.execute(_RESOURCES, [shard])]
    names.resource_numbers = dict(zip(names.resources, count(), strict=False))
    return names


def read_balances(conn: Connection, shard: int, accounts: ShardAccounts) -> None:
    """Take back the balance of each account that ever moved credits."""
    rows = _BALANCES.read(conn, _NARROW.format(Literal(shard)))
    accounts.known[rows["account"]] = True
    accounts.balance[rows["account"]] = rows["micros"]
    for account, micros in conn.execute(_WIDE, [shard]):
        accounts.set_balance(account, int(micros))
