-- The windows of a span in which an agent sent a command or received credits, up to a limit,
-- forward or backward.
--
-- Each step of the recursion asks the index of the agent's bids for the next one that lies beyond
-- the window of the last.
WITH RECURSIVE bid_window AS (
    (
        SELECT window_id FROM ledger.bid
        WHERE shard = %(shard)s AND account = %(account)s
        AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
        ORDER BY "timestamp" {order} LIMIT 1
    )
    UNION ALL
    SELECT there.window_id
    FROM bid_window AS here CROSS JOIN LATERAL (
        SELECT window_id FROM ledger.bid
        WHERE shard = %(shard)s AND account = %(account)s
        AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
        AND {beyond}
        ORDER BY "timestamp" {order} LIMIT 1
    ) AS there
)
SELECT window_id FROM (
    (SELECT window_id FROM bid_window LIMIT %(limit)s)
    UNION
    SELECT window_id FROM ledger.command
    WHERE shard = %(shard)s AND market = %(market)s AND agent_id = %(agent)s
    AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
    UNION
    SELECT window_id FROM ledger.command
    WHERE shard = %(shard)s AND market = %(market)s AND recipient = %(agent)s AND reason = 0
    AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
) AS own_window
ORDER BY window_id {order} LIMIT %(limit)s
