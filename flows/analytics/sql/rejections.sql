-- Why commands were refused; what could not be decoded is a message without a kind.
WITH began AS (
    SELECT shard, min(first_seq) AS first_seq FROM windows WHERE window_id >= $since GROUP BY shard
),
refused AS (
    SELECT 'bid' AS kind, reason
    FROM bids
    WHERE status = 'rejected' AND window_id >= $since AND ($market IS NULL OR market = $market)
    UNION ALL
    SELECT type, reason
    FROM commands
    WHERE status = 'rejected' AND window_id >= $since AND ($market IS NULL OR market = $market)
    UNION ALL
    SELECT 'message', 'malformed'
    FROM dead_letters JOIN began USING (shard)
    WHERE seq >= first_seq AND ($market IS NULL OR split_part(subject, '.', 2) = $market)
)
SELECT kind, reason, count(*) AS rejected
FROM refused
GROUP BY ALL
ORDER BY rejected DESC, kind, reason
