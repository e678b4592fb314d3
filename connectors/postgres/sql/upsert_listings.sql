-- A market that another shard opened is not updated, and so not counted.
INSERT INTO ledger.listing AS known
    (shard, market, opened_seq, opened_ord, rule, stale_after_windows)
SELECT %s, *
FROM unnest(%s::text[], %s::bigint[], %s::smallint[], %s::text[], %s::bigint[])
ON CONFLICT (market) DO UPDATE SET
    rule = excluded.rule,
    stale_after_windows = excluded.stale_after_windows
WHERE known.shard = excluded.shard
