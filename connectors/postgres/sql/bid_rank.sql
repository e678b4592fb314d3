-- The place of a bid in the order of its market's window (SEMANTICS §6), and how many bids were
-- ordered. Exact: densities are compared as products of numerics.
WITH asked AS (
    SELECT
        b.seq,
        b.ord,
        (b.unit_price_micros - t.reserve_micros)::numeric * b.quantity AS net,
        t.reference_micros::numeric * b.quantity AS weight
    FROM ledger.bid AS b
    JOIN ledger.account AS a USING (shard, account)
    JOIN ledger.resource_name AS r USING (shard, resource)
    JOIN ledger.price AS t
        ON t.market = a.market AND t.window_id = b.window_id AND t.resource = r.name
    WHERE b.shard = %(shard)s AND b.window_id = %(window_id)s AND a.market = %(market)s
    AND b.resource >= 0 AND ledger.status_text(b.status) IN ('lost', 'partially_won', 'won')
    UNION ALL
    SELECT
        b.seq,
        b.ord,
        min(b.unit_price_micros) - sum(t.reserve_micros::numeric * item.value::numeric),
        sum(t.reference_micros::numeric * item.value::numeric)
    FROM ledger.bid AS b
    JOIN ledger.account AS a USING (shard, account)
    JOIN ledger.bid_bundle AS p USING (shard, seq, ord)
    CROSS JOIN LATERAL jsonb_each_text(p.bundle) AS item
    JOIN ledger.price AS t
        ON t.market = a.market AND t.window_id = b.window_id AND t.resource = item.key
    WHERE b.shard = %(shard)s AND b.window_id = %(window_id)s AND a.market = %(market)s
    AND b.resource < 0 AND ledger.status_text(b.status) IN ('lost', 'partially_won', 'won')
    GROUP BY b.seq, b.ord
)
SELECT
    count(*) FILTER (
        WHERE other.net * mine.weight > mine.net * other.weight
        OR (
            other.net * mine.weight = mine.net * other.weight
            AND (other.seq, other.ord) <= (mine.seq, mine.ord)
        )
    ),
    count(*)
FROM asked AS other
CROSS JOIN asked AS mine
WHERE mine.seq = %(seq)s AND mine.ord = %(ord)s
