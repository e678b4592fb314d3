INSERT INTO ledger.listed_resource (
    market, resource, supply, initial_price_micros, reserve_micros, reserve_ratio_ppm,
    allowance_windows
)
SELECT * FROM unnest(
    %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]
)
