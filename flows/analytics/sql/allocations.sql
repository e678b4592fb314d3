-- Who got how much of each resource, out of how much there was.
WITH won AS (
    SELECT market, resource, count(*) AS allocations, count(DISTINCT agent_id) AS agents
    FROM allocations
    WHERE window_id >= $since AND ($market IS NULL OR market = $market)
    GROUP BY ALL
),
offered AS (
    SELECT
        market,
        resource,
        sum(supply) AS supply,
        sum(demanded) AS demanded,
        sum(sold) AS sold
    FROM prices
    WHERE window_id >= $since AND ($market IS NULL OR market = $market)
    GROUP BY ALL
)
SELECT
    market,
    resource,
    coalesce(agents, 0) AS agents,
    coalesce(allocations, 0) AS allocations,
    supply,
    demanded,
    sold,
    sold * 100 // nullif(supply, 0) AS sold_percent
FROM offered LEFT JOIN won USING (market, resource)
ORDER BY market, resource
