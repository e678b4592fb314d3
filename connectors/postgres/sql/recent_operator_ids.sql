-- The event ids of operators that a command could still repeat: as in recent_agent_ids.sql.
SELECT market, agent_id, event_id
FROM ledger.command
WHERE shard = %(shard)s AND "timestamp" >= %(since)s
AND seq >= (
    SELECT min(first_seq) FROM ledger."window"
    WHERE shard = %(shard)s AND window_id >= %(since_window)s
)
AND (reason IS NULL OR reason >= 'duplicate')
AND agent_id = %(treasury)s
