-- The event ids of agents that a command could still repeat, with their accounts. An id is
-- remembered once its command has passed the checks that come before `duplicate` in the order of
-- precedence.
SELECT account, event_id
FROM ledger.bid
WHERE shard = {shard} AND window_id >= {since_window} AND "timestamp" >= {since}
AND (reason = 0 OR reason >= {remembered})
UNION ALL
SELECT account, event_id
FROM ledger.command
JOIN ledger.account USING (shard, market, agent_id)
WHERE shard = {shard} AND seq >= {since_seq} AND "timestamp" >= {since}
AND (reason = 0 OR reason >= {remembered})
AND agent_id <> {treasury}
