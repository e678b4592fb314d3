SELECT
    window_id,
    seq,
    ord,
    CASE type WHEN 'credits_granted' THEN 'grant' ELSE 'transfer' END AS kind,
    agent_id AS from_agent_id,
    amount_micros,
    purpose
FROM ledger.command
WHERE shard = %(shard)s AND market = %(market)s AND recipient = %(agent)s AND reason = 0
AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
ORDER BY "timestamp" {order} LIMIT %(rows)s
