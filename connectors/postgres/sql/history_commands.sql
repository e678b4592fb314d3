SELECT
    window_id,
    seq,
    ord,
    event_id::text AS event_id,
    type,
    ledger.reason_text(reason) AS reason,
    purpose
FROM ledger.command
WHERE shard = %(shard)s AND market = %(market)s AND agent_id = %(agent)s
AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
ORDER BY "timestamp" {order} LIMIT %(rows)s
