SELECT
    shard,
    next_seq,
    stream_time_ns,
    (
        SELECT extract(epoch FROM clock_timestamp() - committed_at)::float8
        FROM ledger."window" AS latest
        WHERE latest.shard = known.shard
        ORDER BY window_id DESC LIMIT 1
    ) AS committed_ago_s
FROM ledger.shard AS known
