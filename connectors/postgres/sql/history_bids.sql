SELECT window_id, seq, ord, event_id, status, reason, paid_micros
FROM walras.bids
WHERE market = %(market)s AND agent_id = %(agent)s
AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
ORDER BY "timestamp" {order} LIMIT %(rows)s
