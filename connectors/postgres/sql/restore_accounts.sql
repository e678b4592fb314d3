-- The owners of the accounts of a shard, by number: a line each, in pieces of many lines.
SELECT string_agg(market || E'\t' || agent_id, E'\n' ORDER BY account)
FROM ledger.account
WHERE shard = %s
GROUP BY account / 100000
ORDER BY account / 100000
