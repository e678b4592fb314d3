SELECT
    b.window_id,
    b.seq,
    b.ord,
    b.event_id::text AS event_id,
    ledger.status_text(b.status) AS status,
    ledger.reason_text(b.reason) AS reason,
    b.paid_micros,
    b.won,
    r.name AS resource,
    p.bundle
FROM ledger.bid AS b
LEFT JOIN ledger.resource_name AS r USING (shard, resource)
LEFT JOIN ledger.bid_bundle AS p USING (shard, seq, ord)
WHERE b.shard = %(shard)s AND b.account = %(account)s
AND b."timestamp" >= %(from_at)s AND b."timestamp" < %(until_at)s
ORDER BY b."timestamp" {order} LIMIT %(rows)s
