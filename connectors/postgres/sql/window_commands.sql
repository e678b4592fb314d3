SELECT
    seq,
    ord,
    (extract(epoch FROM "timestamp") * 1000000)::bigint * 1000 + rest_ns,
    market,
    agent_id,
    event_id,
    type,
    reason::text,
    amount_micros,
    recipient
FROM ledger.command
WHERE shard = %(shard)s AND seq >= %(first_seq)s AND seq < %(next_seq)s
ORDER BY seq, ord
