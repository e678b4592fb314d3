WITH place AS (
    SELECT count(*) AS bids
    FROM ledger.bid
    WHERE window_id > (SELECT coalesce(max(window_id), 0) - %s FROM ledger."window")
    GROUP BY shard, seq, ord
)
SELECT coalesce(sum(bids), 0)::bigint AS bids, count(*) FILTER (WHERE bids > 1) AS doubles
FROM place
