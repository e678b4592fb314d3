-- Free room in the pages and no index on balances: the rows are updated in their place.
UPDATE ledger.account AS known
SET balance_micros = moved.micros, wide_micros = NULL
FROM unnest(%s, %s) AS moved (account, micros)
WHERE known.shard = %s AND known.account = moved.account
