-- The number and balance of an agent that the log of its market names.
SELECT shard, account, coalesce(wide_micros, balance_micros)::text AS balance_micros
FROM ledger.account
JOIN ledger.listing USING (shard, market)
WHERE market = %s AND agent_id = %s
