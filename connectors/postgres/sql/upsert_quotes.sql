INSERT INTO ledger.quote (market, resource, price_micros, window_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[])
ON CONFLICT (market, resource) DO UPDATE SET
    price_micros = excluded.price_micros,
    window_id = excluded.window_id
