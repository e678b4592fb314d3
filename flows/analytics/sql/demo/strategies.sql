-- What the agents of each strategy, which their names begin with, bid, won and paid.
WITH placed AS (
    SELECT
        split_part(agent_id, '-', 1) AS strategy,
        count(DISTINCT agent_id) AS agents,
        count(*) AS bids,
        count(*) FILTER (status IN ('won', 'partially_won')) * 100 // count(*) AS won_percent,
        sum(paid_micros) AS paid_micros
    FROM bids
    WHERE market = $market AND window_id >= $since
    GROUP BY ALL
),
got AS (
    SELECT split_part(agent_id, '-', 1) AS strategy, resource, sum(quantity) AS quantity
    FROM allocations
    WHERE market = $market AND window_id >= $since
    GROUP BY ALL
),
won AS (
    SELECT strategy, map_from_entries(list((resource, quantity))) AS quantities
    FROM got
    GROUP BY strategy
)
SELECT placed.*, quantities
FROM placed LEFT JOIN won USING (strategy)
ORDER BY agents DESC, strategy
