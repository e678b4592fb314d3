SELECT
    market,
    resource,
    supply,
    initial_price_micros,
    reserve_micros,
    reserve_ratio_ppm,
    allowance_windows
FROM ledger.listed_resource
JOIN ledger.listing USING (market)
WHERE shard = %s
ORDER BY market, resource
