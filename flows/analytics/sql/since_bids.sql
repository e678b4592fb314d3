-- The first of the last windows that hold such bids.
SELECT coalesce(min(window_id), 0) AS since
FROM (
    SELECT DISTINCT window_id FROM bids
    WHERE market = $market AND ($agent IS NULL OR agent_id = $agent)
    ORDER BY window_id DESC LIMIT $last
)
