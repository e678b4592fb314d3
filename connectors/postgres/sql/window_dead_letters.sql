SELECT
    seq,
    ord,
    (extract(epoch FROM "timestamp") * 1000000)::bigint * 1000 + rest_ns,
    subject,
    error,
    payload
FROM ledger.dead_letter
WHERE shard = %(shard)s AND seq >= %(first_seq)s AND seq < %(next_seq)s
ORDER BY seq, ord
