-- name: each digest follows from the one before
SELECT NULL AS market, shard, window_id, NULL::bigint AS seq, NULL::int AS ord,
    'it follows ' || left(encode(prev_digest, 'hex'), 16) || ', the window before it has '
    || left(encode(before, 'hex'), 16) || ': one between them is missing, or one is changed' AS detail
FROM (
    SELECT *, lag(digest, 1, decode(repeat('00', 32), 'hex'))
        OVER (PARTITION BY shard ORDER BY window_id) AS before
    FROM ledger."window"
) AS w
WHERE prev_digest <> before
UNION ALL
SELECT NULL, s.shard, w.window_id, NULL, NULL,
    'the last window has ' || left(encode(coalesce(w.digest, '\x00'), 'hex'), 16)
    || ', the shard ' || left(encode(s.digest, 'hex'), 16) || ': the last one is missing or changed'
FROM ledger.shard AS s LEFT JOIN LATERAL (
    SELECT * FROM ledger."window" WHERE shard = s.shard ORDER BY window_id DESC LIMIT 1
) AS w ON true
WHERE s.digest <> coalesce(w.digest, decode(repeat('00', 32), 'hex'))

-- name: the windows of a shard follow each other in its log
SELECT NULL AS market, shard, window_id, first_seq AS seq, NULL::int AS ord,
    'it has sequences ' || first_seq || ' to ' || next_seq - 1 || ', the window before it ends with '
    || before - 1 AS detail
FROM (
    SELECT *, lag(next_seq, 1, 1::bigint) OVER (PARTITION BY shard ORDER BY window_id) AS before
    FROM ledger."window"
) AS w
WHERE first_seq < before OR next_seq <= first_seq
UNION ALL
SELECT NULL, s.shard, w.window_id, s.next_seq, NULL,
    'the shard reads ' || s.next_seq || ' next, this window ends with ' || w.next_seq - 1
FROM ledger.shard AS s JOIN ledger."window" AS w USING (shard)
WHERE w.next_seq > s.next_seq

-- name: each row is of a window that has its sequence
SELECT a.market, r.shard, r.window_id, r.seq, r.ord,
    r.kind || CASE WHEN w.shard IS NULL THEN ' of a window that is not there'
        ELSE ' outside of its window, ' || w.first_seq || ' to ' || w.next_seq - 1 END AS detail
FROM (
    SELECT shard, window_id, seq, ord::int, account, NULL AS market, 'a bid' AS kind FROM ledger.bid
    UNION ALL
    SELECT shard, window_id, seq, ord, NULL, market, 'a command' FROM ledger.command
    UNION ALL
    SELECT shard, window_id, seq, ord, NULL, NULL, 'a dead letter' FROM ledger.dead_letter
    UNION ALL
    SELECT shard, window_id, NULL, NULL, NULL, market, 'the figures' FROM ledger.market_window
    UNION ALL
    SELECT shard, window_id, NULL, NULL, NULL, market, 'the price of ' || resource
    FROM ledger.price LEFT JOIN ledger.listing USING (market)
) AS r
LEFT JOIN ledger."window" AS w USING (shard, window_id)
LEFT JOIN ledger.account AS named USING (shard, account)
CROSS JOIN LATERAL (SELECT coalesce(r.market, named.market) AS market) AS a
WHERE w.shard IS NULL OR r.seq < w.first_seq OR r.seq >= w.next_seq

-- name: a command has one outcome
SELECT NULL AS market, shard, min(window_id) AS window_id, seq, ord,
    'it has ' || count(*) || ': ' || string_agg(kind, ' and ') AS detail
FROM (
    SELECT shard, window_id, seq, ord::int, 'a bid' AS kind FROM ledger.bid
    UNION ALL
    SELECT shard, window_id, seq, ord, 'a command' FROM ledger.command
    UNION ALL
    SELECT shard, window_id, seq, ord, 'a dead letter' FROM ledger.dead_letter
) AS outcome
GROUP BY shard, seq, ord
HAVING count(*) > 1

-- name: a market has the bids and commands that its window counted
SELECT market, shard, window_id, NULL::bigint AS seq, NULL::int AS ord,
    'counted and found: bids ' || m.bids || ' and ' || coalesce(b.bids, 0)
    || ', won ' || m.won || ' and ' || coalesce(b.won, 0)
    || ', in part ' || m.partially_won || ' and ' || coalesce(b.partially_won, 0)
    || ', lost ' || m.lost || ' and ' || coalesce(b.lost, 0)
    || ', withdrawn ' || m.withdrawn || ' and ' || coalesce(b.withdrawn, 0)
    || ', rejected ' || m.rejected || ' and ' || coalesce(b.rejected, 0)
    || ', paid micros ' || m.paid_micros || ' and ' || coalesce(b.paid_micros, 0)
    || ', commands ' || m.commands || ' and ' || coalesce(c.commands, 0)
    || coalesce('; no row has seq/ord ' || (
        WITH present AS (
            SELECT seq, ord FROM ledger.bid WHERE shard = w.shard AND window_id = w.window_id
            UNION ALL SELECT seq, ord FROM ledger.command
            WHERE shard = w.shard AND seq BETWEEN w.first_seq AND w.next_seq - 1
            UNION ALL SELECT seq, ord FROM ledger.dead_letter
            WHERE shard = w.shard AND seq BETWEEN w.first_seq AND w.next_seq - 1
        ), last AS (SELECT seq, max(ord)::int AS ord FROM present GROUP BY seq)
        SELECT string_agg(seq || '/' || ord, ', ') FROM (
            SELECT seq, generate_series(0, coalesce(last.ord, 0)) AS ord
            FROM generate_series(w.first_seq, w.next_seq - 1) AS seq LEFT JOIN last USING (seq)
            EXCEPT SELECT seq, ord FROM present
            ORDER BY seq, ord LIMIT 10
        ) AS absent
    ) || ' (a tick has none)', '') AS detail
FROM ledger.market_window AS m
JOIN ledger."window" AS w USING (shard, window_id)
LEFT JOIN (
    SELECT a.market, b.window_id, count(*) AS bids,
        count(*) FILTER (WHERE status = 0) AS rejected,
        count(*) FILTER (WHERE status = 1) AS withdrawn,
        count(*) FILTER (WHERE status = 2) AS lost,
        count(*) FILTER (WHERE status = 3) AS partially_won,
        count(*) FILTER (WHERE status = 4) AS won,
        sum(paid_micros) AS paid_micros
    FROM ledger.bid AS b JOIN ledger.account AS a USING (shard, account)
    GROUP BY a.market, b.window_id
) AS b USING (market, window_id)
LEFT JOIN (
    SELECT market, window_id, count(*) AS commands FROM ledger.command GROUP BY market, window_id
) AS c USING (market, window_id)
WHERE (m.bids, m.won, m.partially_won, m.lost, m.withdrawn, m.rejected, m.paid_micros, m.commands)
    IS DISTINCT FROM (coalesce(b.bids, 0), coalesce(b.won, 0), coalesce(b.partially_won, 0),
        coalesce(b.lost, 0), coalesce(b.withdrawn, 0), coalesce(b.rejected, 0),
        coalesce(b.paid_micros, 0), coalesce(c.commands, 0))

-- name: a bid has what its status says
SELECT a.market, shard, window_id, seq, ord::int,
    'the bid ' || ledger.status_text(status) || ' with ' || won || ' of ' || quantity
    || ' units for ' || paid_micros || ' micros' AS detail
FROM ledger.bid JOIN ledger.account AS a USING (shard, account)
WHERE CASE status
    WHEN 3 THEN won NOT BETWEEN min_quantity AND quantity - 1
    WHEN 4 THEN won <> quantity
    ELSE won <> 0 OR paid_micros <> 0
END
OR (reason <> 0) <> (status = 0)

-- name: a bid pays what its market cleared at, to the rounding
SELECT a.market, b.shard, b.window_id, b.seq, b.ord::int,
    'it paid ' || b.paid_micros || ' micros for ' || b.won || ' ' || r.name || ' at '
    || CASE WHEN m.rule = 'pay_as_bid' THEN b.unit_price_micros ELSE p.clearing_micros END AS detail
FROM ledger.bid AS b
JOIN ledger.account AS a USING (shard, account)
JOIN ledger.resource_name AS r USING (shard, resource)
JOIN ledger.market_window AS m USING (market, window_id)
JOIN ledger.price AS p ON p.market = a.market AND p.window_id = b.window_id AND p.resource = r.name
WHERE b.won > 0 AND m.rule <> 'vickrey' AND CASE
    WHEN m.rule = 'pay_as_bid' THEN b.paid_micros <> b.won::numeric * b.unit_price_micros
    -- A cost is rounded up once, a clearing price for one unit.
    ELSE abs(b.paid_micros - b.won::numeric * p.clearing_micros) > b.won
END
UNION ALL
SELECT a.market, b.shard, b.window_id, b.seq, b.ord::int,
    'the bundle paid ' || b.paid_micros || ' micros, its units cost '
    || sum(b.quantity_of_it * p.clearing_micros)
FROM (
    SELECT b.*, item.key AS named, item.value::numeric AS quantity_of_it
    FROM ledger.bid AS b JOIN ledger.bid_bundle AS u USING (shard, seq, ord),
        LATERAL jsonb_each_text(u.bundle) AS item
    WHERE b.won > 0
) AS b
JOIN ledger.account AS a USING (shard, account)
JOIN ledger.market_window AS m USING (market, window_id)
JOIN ledger.price AS p ON p.market = a.market AND p.window_id = b.window_id AND p.resource = b.named
WHERE m.rule NOT IN ('vickrey', 'pay_as_bid')
GROUP BY a.market, b.shard, b.window_id, b.seq, b.ord, b.paid_micros
HAVING abs(b.paid_micros - sum(b.quantity_of_it * p.clearing_micros)) > sum(b.quantity_of_it)

-- name: no bid pays more than its limit
SELECT a.market, shard, window_id, seq, ord::int,
    'it paid ' || paid_micros || ' micros for ' || won || ' at most ' || unit_price_micros AS detail
FROM ledger.bid JOIN ledger.account AS a USING (shard, account)
WHERE paid_micros::numeric > CASE WHEN resource < 0 THEN quantity ELSE won END::numeric
    * unit_price_micros

-- name: what is sold is what is allocated, and no more than there is
SELECT market, NULL::int AS shard, window_id, NULL::bigint AS seq, NULL::int AS ord,
    resource || ': ' || coalesce(sold, 0) || ' of ' || coalesce(supply, 0) || ' sold, '
    || coalesce(quantity, 0) || ' allocated' AS detail
FROM ledger.price FULL JOIN (
    SELECT market, window_id, resource, sum(quantity) AS quantity
    FROM walras.allocations GROUP BY market, window_id, resource
) AS allocated USING (market, window_id, resource)
WHERE coalesce(sold, 0) <> coalesce(quantity, 0) OR sold > supply

-- name: a balance is the sum of its movements
SELECT market, NULL::int AS shard, NULL::bigint AS window_id, NULL::bigint AS seq,
    NULL::int AS ord, 'agent ' || agent_id || ' has ' || coalesce(a.balance_micros, 0)
    || ' micros, its movements add up to ' || coalesce(t.moved_micros, 0) AS detail
FROM walras.accounts AS a FULL JOIN (
    SELECT market, agent_id, sum(amount_micros) AS moved_micros
    FROM walras.transactions GROUP BY market, agent_id
) AS t USING (market, agent_id)
WHERE coalesce(a.balance_micros, 0) <> coalesce(t.moved_micros, 0)

-- name: the balances of a market sum to zero
SELECT market, NULL::int AS shard, NULL::bigint AS window_id, NULL::bigint AS seq,
    NULL::int AS ord, 'they sum to ' || sum(balance_micros) || ' micros' AS detail
FROM walras.accounts GROUP BY market HAVING sum(balance_micros) <> 0

-- name: no agent owes anything
SELECT market, NULL::int AS shard, NULL::bigint AS window_id, NULL::bigint AS seq,
    NULL::int AS ord, 'agent ' || agent_id || ' has ' || balance_micros || ' micros' AS detail
FROM walras.accounts WHERE balance_micros < 0 AND agent_id <> 'treasury'
