-- The event ids of agents that a command could still repeat, each behind the number of its account:
-- 20 bytes, packed window by window. An id is remembered once its command has passed the checks
-- that come before `duplicate` in the order of precedence.
SELECT string_agg(int4send(account) || uuid_send(event_id), '')
FROM (
    SELECT window_id, account, event_id
    FROM ledger.bid
    WHERE shard = %(shard)s AND window_id >= %(since_window)s AND "timestamp" >= %(since)s
    AND (reason = 0 OR reason >= %(remembered)s)
    UNION ALL
    SELECT window_id, account, event_id
    FROM ledger.command
    JOIN ledger.account USING (shard, market, agent_id)
    WHERE shard = %(shard)s AND seq >= %(since_seq)s AND "timestamp" >= %(since)s
    AND (reason = 0 OR reason >= %(remembered)s)
    AND agent_id <> %(treasury)s
) AS used
GROUP BY window_id
