-- The public face of the ledger: the views of schema walras, whose names and columns are a contract.
--
-- Nothing is stored twice: allocations and payments are read off the bids, grants and transfers off
-- the commands, so that no two of them can tell different stories.

CREATE SCHEMA walras;

CREATE VIEW walras.bids AS
SELECT
    market,
    agent_id,
    event_id,
    seq,
    ord,
    shard,
    window_id,
    "timestamp",
    CASE WHEN bundle IS NULL THEN 'unit' ELSE 'bundle' END AS kind,
    coalesce(bundle, jsonb_build_object(resource, quantity)) AS bundle,
    -- Null where the product leaves int64: such a bid was refused, so its limit never mattered.
    CASE
        WHEN unit_price_micros <= 9223372036854775807 / quantity THEN quantity * unit_price_micros
    END AS limit_micros,
    status::text AS status,
    reason::text AS reason,
    paid_micros
FROM ledger.bid;

CREATE VIEW walras.allocations AS
SELECT market, window_id, seq, ord, event_id, agent_id, resource, won AS quantity, "timestamp"
FROM ledger.bid
WHERE won > 0 AND bundle IS NULL
UNION ALL
SELECT
    market,
    window_id,
    seq,
    ord,
    event_id,
    agent_id,
    item.key COLLATE "C" AS resource,
    item.value::bigint AS quantity,
    "timestamp"
FROM ledger.bid, jsonb_each_text(bundle) AS item
WHERE won > 0 AND bundle IS NOT NULL;

-- Two rows for each movement, whose amounts sum to zero: each side names the other.
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
    event_id,
    "timestamp"
FROM ledger.command
WHERE recipient IS NOT NULL AND reason IS NULL
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
    event_id,
    "timestamp"
FROM ledger.command
WHERE recipient IS NOT NULL AND reason IS NULL
UNION ALL
SELECT
    market,
    window_id,
    shard,
    seq,
    ord,
    shard || '-' || seq || '-' || ord,
    agent_id,
    -paid_micros,
    'house',
    'payment',
    event_id,
    "timestamp"
FROM ledger.bid
WHERE paid_micros > 0
UNION ALL
SELECT
    market,
    window_id,
    shard,
    seq,
    ord,
    shard || '-' || seq || '-' || ord,
    'house',
    paid_micros,
    agent_id,
    'payment',
    event_id,
    "timestamp"
FROM ledger.bid
WHERE paid_micros > 0;

CREATE VIEW walras.commands AS
SELECT
    market,
    agent_id,
    event_id,
    seq,
    ord,
    window_id,
    type,
    CASE WHEN reason IS NULL THEN 'applied' ELSE 'rejected' END AS status,
    reason::text AS reason
FROM ledger.command;

CREATE VIEW walras.accounts AS
SELECT market, agent_id, balance_micros
FROM ledger.account;

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
    clearing_micros,
    supply,
    demanded,
    sold,
    stale
FROM ledger.price;

CREATE VIEW walras.dead_letters AS
SELECT shard, seq, ord, subject, error, payload, "timestamp"
FROM ledger.dead_letter;
