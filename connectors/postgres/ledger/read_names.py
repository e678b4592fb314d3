"""Names by their numbers, and balances: as many as there are agents, read in a few large pieces."""

from itertools import count
from typing import Final

import numpy as np
from psycopg import Connection

from connectors.postgres.ledger.binary import read_packed
from connectors.postgres.statements import read_statement
from state.accounts import ShardAccounts
from state.names import Names

_ACCOUNTS: Final = read_statement("restore_accounts")
_RESOURCES: Final = "SELECT name FROM ledger.resource_name WHERE shard = %s ORDER BY resource"
_BALANCES: Final = read_statement("restore_balances")
_PACKED: Final = np.dtype([("account", ">i4"), ("micros", ">i8")])
# As text a balance becomes an int at once, and not a Decimal first.
_WIDE: Final = """
    SELECT account, wide_micros::text FROM ledger.account
    WHERE shard = %s AND wide_micros IS NOT NULL
"""


def read_names(conn: Connection, shard: int) -> Names:
    """All names of a shard, under the numbers that its log gave them."""
    owners = [
        (market, owner)
        for (piece,) in conn.execute(_ACCOUNTS, [shard])
        for market, owner in (line.split("\t") for line in piece.split("\n"))
    ]
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
    rows = read_packed(conn, _BALANCES, {"shard": shard}, _PACKED)
    accounts.known[rows["account"]] = True
    accounts.balance[rows["account"]] = rows["micros"]
    for account, micros in conn.execute(_WIDE, [shard]):
        accounts.set_balance(account, int(micros))
