-- The one bid that lies at this place of the log, once its window is committed.
WITH bid AS (
    SELECT market, seq, ord, status, reason, paid_micros
    FROM bids
    WHERE market = $market AND agent_id = $agent AND seq = $seq AND ord = 0
),
won AS (
    SELECT string_agg(quantity || ' ' || resource, ', ' ORDER BY resource) AS won
    FROM allocations
    WHERE market = $market AND agent_id = $agent AND seq = $seq AND ord = 0
)
SELECT status, reason, won, paid_micros
FROM bid, won
