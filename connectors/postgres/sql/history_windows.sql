-- The windows of a span in which an agent sent a command, up to a limit, forward or backward.
--
-- Each step of the recursion asks the index of the agent's bids for the next one that lies beyond
-- the window of the last.
WITH RECURSIVE bid_window AS (
    (
        SELECT window_id FROM walras.bids
        WHERE market = %(market)s AND agent_id = %(agent)s
        AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
        ORDER BY "timestamp" {order} LIMIT 1
    )
    UNION ALL
    SELECT there.window_id
    FROM bid_window AS here CROSS JOIN LATERAL (
        SELECT window_id FROM walras.bids
        WHERE market = %(market)s AND agent_id = %(agent)s
        AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
        AND {beyond}
        ORDER BY "timestamp" {order} LIMIT 1
    ) AS there
)
SELECT window_id FROM (
    (SELECT window_id FROM bid_window LIMIT %(limit)s)
    UNION
    SELECT window_id FROM walras.commands
    WHERE market = %(market)s AND agent_id = %(agent)s
    AND window_id >= %(first_window)s AND window_id < %(end_window)s
) AS own_window
ORDER BY window_id {order} LIMIT %(limit)s
