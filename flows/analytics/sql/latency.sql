-- From a bid's arrival in the log to its outcome in the ledger; waiting for its window to close is
-- part of it. The two instants come from two servers' clocks.
WITH waited AS (
    SELECT epoch_us(committed_at) - epoch_us(timestamp) AS latency_us
    FROM bids JOIN windows USING (shard, window_id)
    WHERE bids.window_id >= $since AND windows.window_id >= $since
)
SELECT
    count(*) AS bids,
    quantile_disc(latency_us, 0.5) AS p50_us,
    quantile_disc(latency_us, 0.99) AS p99_us,
    max(latency_us) AS max_us
FROM waited
