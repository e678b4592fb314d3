SELECT
    resource,
    reference_micros,
    reserve_micros,
    clearing_micros,
    supply,
    demanded,
    wanted,
    sold,
    stale
FROM walras.prices
WHERE market = %s AND window_id = %s
ORDER BY resource
