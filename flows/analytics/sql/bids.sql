-- Bids with their outcomes, in the order of the log.
SELECT
    market, window_id, seq, ord, agent_id, event_id, kind, bundle, limit_micros, status, reason,
    paid_micros
FROM bids
WHERE window_id >= $since AND market = $market AND ($agent IS NULL OR agent_id = $agent)
ORDER BY window_id, seq, ord
