-- The lots of a shard that may still be drawn on, and those that open holds draw on. The first
-- condition is that of the meter that expired the least: the index finds them by it.
SELECT
    account,
    resource,
    window_id,
    last_window,
    units,
    held,
    used,
    overdrawn,
    lapsed
FROM ledger.lot
WHERE shard = %(shard)s AND last_window >= %(oldest)s
UNION
SELECT
    l.account,
    l.resource,
    l.window_id,
    l.last_window,
    l.units,
    l.held,
    l.used,
    l.overdrawn,
    l.lapsed
FROM ledger.open_hold AS h
CROSS JOIN LATERAL unnest(h.draw_windows) AS draw (window_id)
JOIN ledger.lot AS l
    ON l.shard = h.shard AND l.account = h.account
    AND l.resource = h.resource AND l.window_id = draw.window_id
WHERE h.shard = %(shard)s
ORDER BY account, resource, window_id
