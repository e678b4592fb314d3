SELECT
    seq,
    ord,
    (extract(epoch FROM "timestamp") * 1000000)::bigint * 1000 + rest_ns,
    market,
    agent_id,
    event_id,
    resource,
    quantity,
    unit_price_micros,
    min_quantity,
    bundle,
    status::text,
    reason::text,
    won,
    paid_micros
FROM ledger.bid
WHERE shard = %(shard)s AND seq >= %(first_seq)s AND seq < %(next_seq)s
ORDER BY seq, ord
