-- A market that another shard opened is not updated, and so not counted.
INSERT INTO ledger.listing AS known (
    shard, market, first_seq, first_ord, opened_seq, is_open, rule, stale_after_windows,
    max_commands, lag_windows, meters
)
SELECT %s, *
FROM unnest(
    %s::text[], %s::bigint[], %s::smallint[], %s::bigint[], %s::boolean[], %s::text[],
    %s::bigint[], %s::bigint[], %s::bigint[], %s::int[]
)
ON CONFLICT (market) DO UPDATE SET
    opened_seq = excluded.opened_seq,
    is_open = excluded.is_open,
    rule = excluded.rule,
    stale_after_windows = excluded.stale_after_windows,
    max_commands = excluded.max_commands
WHERE known.shard = excluded.shard
