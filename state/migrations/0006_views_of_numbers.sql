-- The views of 0002 and 0004 over the tables of numbers, and those that are new: names and columns
-- are a contract, so numbers are shown as the names that they stand for.

-- Every bid with its names in place of numbers; what two public views share.
CREATE VIEW ledger.named_bid AS
SELECT
    a.market,
    a.agent_id,
    b.event_id::text AS event_id,
    b.seq,
    b.ord,
    b.shard,
    b.window_id,
    b."timestamp",
    CASE WHEN b.resource < 0 THEN 'bundle' ELSE 'unit' END AS kind,
    coalesce(p.bundle, jsonb_build_object(r.name, b.quantity)) AS bundle,
    CASE WHEN b.resource >= 0 THEN b.min_quantity END AS min_quantity,
    -- Null where the product leaves int64: such a bid was refused, so its limit never mattered.
    CASE
        WHEN b.unit_price_micros <= 9223372036854775807 / b.quantity
            THEN b.quantity * b.unit_price_micros
    END AS limit_micros,
    ledger.status_text(b.status) AS status,
    ledger.reason_text(b.reason) AS reason,
    b.paid_micros,
    b.lost_value_micros
FROM ledger.bid AS b
JOIN ledger.account AS a USING (shard, account)
LEFT JOIN ledger.resource_name AS r USING (shard, resource)
LEFT JOIN ledger.bid_bundle AS p USING (shard, seq, ord);

CREATE VIEW walras.bids AS
SELECT
    market, agent_id, event_id, seq, ord, shard, window_id, "timestamp", kind, bundle,
    min_quantity, limit_micros, status, reason, paid_micros
FROM ledger.named_bid;

-- Bids that lost although their limit is above the cost of what they asked for: it did not fit into
-- what was left. A property of greedy clearing that is reported, never hidden.
CREATE VIEW walras.paradoxical_rejections AS
SELECT
    market, agent_id, event_id, seq, ord, shard, window_id, "timestamp", kind, bundle,
    min_quantity, limit_micros, status, reason, paid_micros, lost_value_micros
FROM ledger.named_bid
WHERE lost_value_micros >= 0;

CREATE VIEW walras.allocations AS
SELECT
    a.market,
    b.window_id,
    b.seq,
    b.ord,
    b.event_id::text AS event_id,
    a.agent_id,
    r.name AS resource,
    b.won AS quantity,
    b."timestamp"
FROM ledger.bid AS b
JOIN ledger.account AS a USING (shard, account)
JOIN ledger.resource_name AS r USING (shard, resource)
WHERE b.won > 0
UNION ALL
SELECT
    a.market,
    b.window_id,
    b.seq,
    b.ord,
    b.event_id::text,
    a.agent_id,
    item.key COLLATE "C",
    item.value::bigint,
    b."timestamp"
FROM ledger.bid AS b
JOIN ledger.account AS a USING (shard, account)
JOIN ledger.bid_bundle AS p USING (shard, seq, ord),
    jsonb_each_text(p.bundle) AS item
WHERE b.won > 0 AND b.resource < 0;

-- Two rows for each movement, whose amounts sum to zero: each side names the other. ('house' has no
-- collation of its own: with one, no condition would reach the tables and their indexes.)
CREATE VIEW walras.transactions AS
SELECT
    market,
    window_id,
    shard,
    seq,
    ord,
    shard || '-' || seq || '-' || ord AS txn_id,
    agent_id,
    -amount_micros AS amount_micros,
    recipient AS counterparty,
    CASE type WHEN 'credits_granted' THEN 'grant' ELSE 'transfer' END AS kind,
    purpose,
    event_id::text AS event_id,
    "timestamp"
FROM ledger.command
WHERE recipient IS NOT NULL AND reason = 0
UNION ALL
SELECT
    market,
    window_id,
    shard,
    seq,
    ord,
    shard || '-' || seq || '-' || ord,
    recipient,
    amount_micros,
    agent_id,
    CASE type WHEN 'credits_granted' THEN 'grant' ELSE 'transfer' END,
    purpose,
    event_id::text,
    "timestamp"
FROM ledger.command
WHERE recipient IS NOT NULL AND reason = 0
UNION ALL
SELECT
    a.market,
    b.window_id,
    b.shard,
    b.seq,
    b.ord,
    b.shard || '-' || b.seq || '-' || b.ord,
    a.agent_id,
    -b.paid_micros,
    'house',
    'payment',
    NULL,
    b.event_id::text,
    b."timestamp"
FROM ledger.bid AS b
JOIN ledger.account AS a USING (shard, account)
WHERE b.paid_micros > 0
UNION ALL
SELECT
    a.market,
    b.window_id,
    b.shard,
    b.seq,
    b.ord,
    b.shard || '-' || b.seq || '-' || b.ord,
    'house',
    b.paid_micros,
    a.agent_id,
    'payment',
    NULL,
    b.event_id::text,
    b."timestamp"
FROM ledger.bid AS b
JOIN ledger.account AS a USING (shard, account)
WHERE b.paid_micros > 0;

CREATE VIEW walras.commands AS
SELECT
    market,
    agent_id,
    event_id::text AS event_id,
    seq,
    ord,
    shard,
    window_id,
    type,
    CASE reason WHEN 0 THEN 'applied' ELSE 'rejected' END AS status,
    ledger.reason_text(reason) AS reason,
    "timestamp"
FROM ledger.command;

CREATE VIEW walras.accounts AS
SELECT
    market,
    agent_id,
    coalesce(wide_micros, balance_micros)::numeric(38, 0) AS balance_micros
FROM ledger.account
WHERE balance_micros IS NOT NULL;

-- The boundaries are the stream's time, so that a replay gives the same row; committed_at alone is
-- the time of this ledger. Digests are in hex, as people compare them.
CREATE VIEW walras.windows AS
SELECT
    shard,
    window_id,
    first_seq,
    w.next_seq - 1 AS last_seq,
    timestamptz 'epoch' + window_id * window_ms * interval '1 millisecond' AS opened_at,
    timestamptz 'epoch' + (window_id + 1) * window_ms * interval '1 millisecond' AS closed_at,
    committed_at,
    encode(w.digest, 'hex') AS digest,
    encode(prev_digest, 'hex') AS prev_digest
FROM ledger."window" AS w
JOIN ledger.shard AS s USING (shard);

CREATE VIEW walras.prices AS
SELECT
    market,
    window_id,
    resource,
    reference_micros,
    reserve_micros,
    clearing_micros,
    supply,
    demanded,
    wanted,
    sold,
    stale
FROM ledger.price;

CREATE VIEW walras.market_windows AS
SELECT
    market,
    window_id,
    shard,
    rule,
    agents,
    bids,
    won,
    partially_won,
    lost,
    withdrawn,
    rejected,
    commands,
    paid_micros,
    offered_micros,
    served_micros
FROM ledger.market_window;

CREATE VIEW walras.markets AS
SELECT
    market,
    shard,
    rule,
    is_open AS open,
    opened_seq,
    stale_after_windows,
    max_commands,
    lag_windows,
    meters
FROM ledger.listing;

CREATE VIEW walras.resources AS
SELECT
    market,
    resource,
    supply,
    initial_price_micros,
    reserve_micros,
    reserve_ratio_ppm,
    allowance_windows
FROM ledger.listed_resource;

CREATE VIEW walras.dead_letters AS
SELECT shard, seq, ord, subject, error, payload, payload_bytes, "timestamp"
FROM ledger.dead_letter;
