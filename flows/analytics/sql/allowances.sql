-- What agents won of metered resources, what became of it, and what of it expires first.
--
-- A lot may be drawn on while its meter names a window up to the last one: it expires at the end of
-- that window, or later where the meter lags.
WITH lasting AS (
    SELECT agent_id, resource, last_window, sum(remaining) AS units
    FROM lots
    WHERE market = $market AND remaining > 0
    GROUP BY ALL
),
length AS (SELECT max(closed_at - opened_at) AS of_window FROM windows)
SELECT
    agent_id,
    resource,
    won::HUGEINT AS won,
    free::HUGEINT AS free,
    held::HUGEINT AS held,
    used::HUGEINT AS used,
    overdrawn::HUGEINT AS overdrawn,
    expired::HUGEINT AS expired,
    first.units::HUGEINT AS expires_next,
    to_timestamp((first.last_window + 1) * epoch(of_window)) AS expires_at
FROM allowances
LEFT JOIN (
    SELECT agent_id, resource, min(last_window) AS last_window, arg_min(units, last_window) AS units
    FROM lasting
    GROUP BY ALL
) AS first USING (agent_id, resource)
CROSS JOIN length
WHERE market = $market AND ($agent IS NULL OR agent_id = $agent)
ORDER BY agent_id, resource
