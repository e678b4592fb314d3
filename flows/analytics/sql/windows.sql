-- Each window: its messages, the outcomes of its bids, and the digest of the shard after it.
WITH outcomes AS (
    SELECT
        shard,
        window_id,
        count(*) AS bids,
        count(*) FILTER (status IN ('won', 'partially_won')) AS won,
        count(*) FILTER (status = 'rejected') AS rejected,
        sum(paid_micros) AS paid_micros
    FROM bids
    WHERE window_id >= $since
    GROUP BY ALL
)
SELECT
    shard,
    window_id,
    closed_at,
    committed_at,
    last_seq - first_seq + 1 AS messages,
    coalesce(bids, 0) AS bids,
    coalesce(won, 0) AS won,
    coalesce(rejected, 0) AS rejected,
    coalesce(paid_micros, 0) AS paid_micros,
    digest
FROM windows LEFT JOIN outcomes USING (shard, window_id)
WHERE window_id >= $since
ORDER BY window_id, shard
