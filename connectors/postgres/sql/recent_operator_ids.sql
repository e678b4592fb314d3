-- The event ids of operators that a command could still repeat: as in recent_agent_ids.sql.
SELECT market, uuid_send(event_id)
FROM ledger.command
WHERE shard = %(shard)s AND seq >= %(since_seq)s AND "timestamp" >= %(since)s
AND (reason = 0 OR reason >= %(remembered)s)
AND agent_id = %(treasury)s
