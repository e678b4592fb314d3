-- The event ids of agents that a command could still repeat. An id is remembered once its command
-- has passed the checks that come before `duplicate` in the order of precedence.
SELECT market, agent_id, event_id
FROM ledger.bid
WHERE shard = %(shard)s AND "timestamp" >= %(since)s
AND seq >= (
    SELECT min(first_seq) FROM ledger."window"
    WHERE shard = %(shard)s AND window_id >= %(since_window)s
)
AND (reason IS NULL OR reason >= 'duplicate')
UNION ALL
SELECT market, agent_id, event_id
FROM ledger.command
WHERE shard = %(shard)s AND "timestamp" >= %(since)s
AND seq >= (
    SELECT min(first_seq) FROM ledger."window"
    WHERE shard = %(shard)s AND window_id >= %(since_window)s
)
AND (reason IS NULL OR reason >= 'duplicate')
AND agent_id <> %(treasury)s
