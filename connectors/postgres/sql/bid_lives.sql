-- The bids of an event id, from windows in a range, with their windows; times in nanoseconds.
SELECT
    a.market,
    a.agent_id,
    b.event_id::text AS event_id,
    b.shard,
    b.seq,
    b.ord,
    b.window_id,
    s.window_ms,
    (extract(EPOCH FROM b."timestamp") * 1000000)::bigint * 1000 + b.rest_ns AS judged_ns,
    (extract(EPOCH FROM w.committed_at) * 1000000)::bigint * 1000 AS committed_ns,
    w.next_seq,
    encode(w.digest, 'hex') AS digest,
    coalesce(p.bundle, jsonb_build_object(r.name, b.quantity)) AS bundle,
    b.resource < 0 AS is_bundle,
    b.unit_price_micros,
    ledger.status_text(b.status) AS status,
    ledger.reason_text(b.reason) AS reason,
    b.won,
    b.paid_micros
FROM ledger.bid AS b
JOIN ledger.account AS a USING (shard, account)
JOIN ledger.shard AS s USING (shard)
JOIN ledger."window" AS w USING (shard, window_id)
LEFT JOIN ledger.resource_name AS r USING (shard, resource)
LEFT JOIN ledger.bid_bundle AS p USING (shard, seq, ord)
WHERE b.event_id = %(event_id)s AND b.window_id BETWEEN %(first)s AND %(last)s
ORDER BY b.shard, b.seq, b.ord
