-- The ledger: one transaction a window writes here; the views of 0002 are what others read.
--
-- Text keys are compared byte by byte (COLLATE "C"), which is the order of the digest and the
-- fastest. Times are split: "timestamp" holds whole microseconds, rest_ns the nanoseconds below.

CREATE SCHEMA ledger;

-- The one place that maps outcomes to what is stored: 4 bytes a value, in the registry's order,
-- which for reasons is the order of precedence.
CREATE TYPE ledger.bid_status AS ENUM (
    'rejected', 'withdrawn', 'lost', 'partially_won', 'won'
);

CREATE TYPE ledger.rejection_reason AS ENUM (
    'malformed', 'unknown_market', 'stale_event_id', 'future_event_id', 'duplicate', 'not_open',
    'unknown_agent', 'self_transfer', 'unknown_resource', 'unsupported_by_rule', 'exceeds_supply',
    'below_reserve', 'amount_overflow', 'insufficient_balance'
);

-- Where each shard stands; locked first in every commit.
CREATE TABLE ledger.shard (
    shard int PRIMARY KEY,
    token bigint NOT NULL DEFAULT 0,               -- the fencing token: counts the claims
    next_seq bigint NOT NULL DEFAULT 1,            -- next to read
    stream_time_ns bigint NOT NULL DEFAULT 0,      -- of the last message that was applied
    stream text COLLATE "C" NOT NULL,              -- with its creation time: which log this is
    stream_created_ns bigint NOT NULL,
    window_ms bigint NOT NULL CHECK (window_ms > 0),
    digest bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'), -- of the last window row
    published_window bigint                        -- last one whose results are all out
);

CREATE TABLE ledger."window" (
    shard int NOT NULL,
    window_id bigint NOT NULL,
    first_seq bigint NOT NULL,
    next_seq bigint NOT NULL,                      -- next to read: the first of a later window
    stream_time_ns bigint NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    digest bytea NOT NULL,
    prev_digest bytea NOT NULL,
    PRIMARY KEY (shard, window_id)
);

-- One row for each bid, with its outcome: allocations and payments are read off it.
-- A unit bid names a resource; a bundle is won once or not at all, for its limit at most.
CREATE TABLE ledger.bid (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamptz NOT NULL,
    quantity bigint NOT NULL,                      -- of a bundle: 1
    unit_price_micros bigint NOT NULL,             -- of a bundle: its limit
    min_quantity bigint NOT NULL,
    won bigint NOT NULL,                           -- units; of a bundle: 0 or 1
    paid_micros bigint NOT NULL,
    shard int NOT NULL,
    status ledger.bid_status NOT NULL,
    reason ledger.rejection_reason,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    market text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    resource text COLLATE "C",
    bundle jsonb CHECK (num_nonnulls(resource, bundle) = 1),
    PRIMARY KEY (shard, seq, ord)                  -- also finds the rows of a window, by sequence
);

-- What an agent did, and when.
CREATE INDEX bid_agent ON ledger.bid (agent_id, "timestamp");

-- Grants, transfers, withdrawals and market events; applied when there is no reason.
CREATE TABLE ledger.command (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamptz NOT NULL,
    amount_micros bigint,                          -- of grants and transfers
    shard int NOT NULL,
    reason ledger.rejection_reason,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    market text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,            -- the sender
    event_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    recipient text COLLATE "C",                    -- of grants and transfers
    PRIMARY KEY (shard, seq, ord)
);

-- What an agent sent, and what it received: together the two sides of its transactions.
CREATE INDEX command_agent ON ledger.command (agent_id, "timestamp");
CREATE INDEX command_recipient ON ledger.command (recipient, "timestamp")
    WHERE recipient IS NOT NULL;

CREATE TABLE ledger.dead_letter (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamptz NOT NULL,
    shard int NOT NULL,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    subject text COLLATE "C" NOT NULL,
    error text COLLATE "C" NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (shard, seq, ord)
);

CREATE TABLE ledger.price (
    market text COLLATE "C" NOT NULL,
    window_id bigint NOT NULL,
    resource text COLLATE "C" NOT NULL,
    reference_micros bigint NOT NULL,
    clearing_micros bigint,
    supply bigint NOT NULL,
    demanded bigint NOT NULL,
    sold bigint NOT NULL CHECK (sold BETWEEN 0 AND supply),
    stale boolean NOT NULL,
    PRIMARY KEY (market, window_id, resource)
);

-- Thousands of the largest grants leave int64. Free room in each page lets a window move balances
-- without touching the index.
CREATE TABLE ledger.account (
    market text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    balance_micros numeric(38, 0) NOT NULL CHECK (balance_micros >= 0 OR agent_id = 'treasury'),
    PRIMARY KEY (market, agent_id)
) WITH (fillfactor = 50);

-- The latest word of each market's operator. A market lives in one shard for ever.
CREATE TABLE ledger.listing (
    market text COLLATE "C" PRIMARY KEY,
    shard int NOT NULL,
    opened_seq bigint NOT NULL,                    -- place of the first opening
    opened_ord smallint NOT NULL,
    rule text COLLATE "C" NOT NULL,
    stale_after_windows bigint NOT NULL
);

CREATE TABLE ledger.listed_resource (
    market text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    supply bigint NOT NULL,
    initial_price_micros bigint NOT NULL,
    reserve_micros bigint NOT NULL,
    reserve_ratio_ppm bigint NOT NULL,
    PRIMARY KEY (market, resource)
);

-- Also of resources that are no longer listed: a quote outlives a reopening.
CREATE TABLE ledger.quote (
    market text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    price_micros bigint NOT NULL,
    window_id bigint NOT NULL,
    PRIMARY KEY (market, resource)
);
