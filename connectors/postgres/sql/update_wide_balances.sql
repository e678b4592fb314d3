UPDATE ledger.account AS known
SET wide_micros = moved.micros
FROM unnest(%s::int[], %s::numeric[]) AS moved (account, micros)
WHERE known.shard = %s AND known.account = moved.account
