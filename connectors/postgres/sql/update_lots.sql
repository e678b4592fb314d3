-- No index on what changes: the rows are updated in their place.
UPDATE ledger.lot AS known
SET
    held = changed.held,
    used = changed.used,
    overdrawn = changed.overdrawn,
    lapsed = changed.lapsed
FROM unnest(
    %s::int[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::boolean[]
) AS changed (account, resource, window_id, held, used, overdrawn, lapsed)
WHERE known.shard = %s
AND known.account = changed.account
AND known.resource = changed.resource
AND known.window_id = changed.window_id
