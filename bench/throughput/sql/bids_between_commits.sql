-- All bids; those that came after the first commit; the seconds from there to the last commit.
WITH committed AS (
    SELECT committed_at, count(*) AS bids
    FROM ledger.bid JOIN ledger."window" USING (shard, window_id)
    GROUP BY shard, window_id, committed_at
)
SELECT
    sum(bids),
    sum(bids) - (array_agg(bids ORDER BY committed_at))[1],
    extract(epoch FROM max(committed_at) - min(committed_at))
FROM committed
