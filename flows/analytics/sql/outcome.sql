-- The one command that lies at this place of the log, once its window is committed.
WITH won AS (
    SELECT map_from_entries(list((resource, quantity) ORDER BY resource)) AS won
    FROM allocations
    WHERE market = $market AND agent_id = $agent AND seq = $seq AND ord = 0
)
SELECT status, reason, won, paid_micros
FROM bids, won
WHERE market = $market AND agent_id = $agent AND seq = $seq AND ord = 0
UNION ALL
SELECT status, reason, NULL, NULL
FROM commands
WHERE market = $market AND seq = $seq AND ord = 0
