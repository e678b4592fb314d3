-- The prices of the markets of a shard in each of its windows from one to another.
SELECT
    window_id,
    market,
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
WHERE market IN (SELECT market FROM walras.markets WHERE shard = %(shard)s)
AND window_id BETWEEN %(first)s AND %(last)s
ORDER BY window_id, market, resource
