-- A ledger of numbers: accounts, resources, statuses and reasons stand in the rows of bids as
-- numbers, and bids have no key. The views of 0006 show names again.
--
-- A ledger of version 1 keeps its rows: each table is filled from the one that it replaces. What
-- version 1 did not record is said beside the column.

DROP VIEW walras.paradoxical_rejections;
DROP VIEW walras.transactions;
DROP VIEW walras.allocations;
DROP VIEW walras.commands;
DROP VIEW walras.prices;
DROP VIEW walras.dead_letters;
DROP VIEW walras.accounts;
DROP VIEW walras.windows;
DROP VIEW walras.bids;

-- The words of the codes in ledger.bid and ledger.command, in the registry's order, which for
-- reasons is the order of precedence; 0 is no reason.
CREATE FUNCTION ledger.status_text(code smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY['rejected', 'withdrawn', 'lost', 'partially_won', 'won'])[code + 1];

CREATE FUNCTION ledger.reason_text(code smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY[
    'malformed', 'unknown_market', 'market_closed', 'over_quota', 'stale_event_id',
    'future_event_id', 'duplicate', 'not_open', 'unknown_agent', 'self_transfer',
    'unknown_resource', 'unsupported_by_rule', 'exceeds_supply', 'below_reserve',
    'amount_overflow', 'insufficient_balance'
])[code];

CREATE SCHEMA ledger_version_1;
ALTER TABLE ledger.account SET SCHEMA ledger_version_1;
ALTER TABLE ledger.bid SET SCHEMA ledger_version_1;
ALTER TABLE ledger.listing SET SCHEMA ledger_version_1;

-- Everyone whom the log ever named has a number, dense from 0 in each shard. Balances are columns
-- of their own rows, without an index on them: free room in each page lets a window move balances
-- without touching the indexes.
CREATE TABLE ledger.account (
    shard smallint NOT NULL,
    account int NOT NULL,
    balance_micros bigint,                         -- null until the account first moved credits
    wide_micros numeric(38, 0),                    -- in its place where a column may not hold it
    market text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    CHECK ((balance_micros < 0 OR wide_micros < 0) IS NOT TRUE OR agent_id = 'treasury')
) WITH (fillfactor = 50);

-- Numbers of version 1: market by market, its treasury and house first, as a log would give them.
INSERT INTO ledger.account (shard, account, balance_micros, wide_micros, market, agent_id)
SELECT
    shard,
    row_number() OVER (
        PARTITION BY shard
        ORDER BY market, agent_id <> 'treasury', agent_id <> 'house', agent_id
    ) - 1,
    CASE WHEN abs(balance_micros) > 4611686018427387904 THEN 0 ELSE balance_micros END,
    CASE WHEN abs(balance_micros) > 4611686018427387904 THEN balance_micros END,
    market,
    agent_id
FROM (
    SELECT shard, market, agent_id FROM ledger_version_1.bid
    UNION
    SELECT shard, market, agent_id FROM ledger.command
    UNION
    SELECT shard, market, recipient FROM ledger.command WHERE recipient IS NOT NULL
    UNION
    SELECT shard, market, owner
    FROM (
        SELECT shard, market FROM ledger_version_1.bid
        UNION
        SELECT shard, market FROM ledger.command
    ) AS mentioned,
        (VALUES ('treasury' COLLATE "C"), ('house' COLLATE "C")) AS own (owner)
) AS named
LEFT JOIN ledger_version_1.account USING (market, agent_id);

ALTER TABLE ledger.account ADD PRIMARY KEY (shard, account);
-- The agent first: who asks for an agent without its market is answered by the same index.
CREATE UNIQUE INDEX account_name ON ledger.account (agent_id, market, shard);

-- The resources that unit bids asked for, dense from 0 in each shard.
CREATE TABLE ledger.resource_name (
    shard smallint NOT NULL,
    resource int NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (shard, resource)
);

INSERT INTO ledger.resource_name (shard, resource, name)
SELECT shard, row_number() OVER (PARTITION BY shard ORDER BY resource) - 1, resource
FROM (
    SELECT DISTINCT shard, resource FROM ledger_version_1.bid WHERE resource IS NOT NULL
) AS asked;

-- One row for each bid, with its outcome: allocations and payments are read off it. All columns are
-- fixed in width and never null, so that a window is one buffer of equal rows.
CREATE TABLE ledger.bid (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamptz NOT NULL,
    quantity bigint NOT NULL,                      -- of a bundle: 1
    unit_price_micros bigint NOT NULL,             -- of a bundle: its limit
    min_quantity bigint NOT NULL,
    won bigint NOT NULL,                           -- units; of a bundle: 0 or 1
    paid_micros bigint NOT NULL,
    lost_value_micros bigint NOT NULL,             -- -1: not rejected paradoxically, or not recorded
    account int NOT NULL,
    resource int NOT NULL,                         -- -1: a bundle, see bid_bundle
    event_id uuid NOT NULL,
    shard smallint NOT NULL,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    status smallint NOT NULL,
    reason smallint NOT NULL
);

-- In the order of the windows, so that the summaries of ranges of pages below stay narrow.
INSERT INTO ledger.bid (
    seq, window_id, "timestamp", quantity, unit_price_micros, min_quantity, won, paid_micros,
    lost_value_micros, account, resource, event_id, shard, ord, rest_ns, status, reason
)
SELECT
    b.seq,
    b.window_id,
    b."timestamp",
    b.quantity,
    b.unit_price_micros,
    b.min_quantity,
    b.won,
    b.paid_micros,
    -1,
    a.account,
    coalesce(r.resource, -1),
    b.event_id::uuid,
    b.shard,
    b.ord,
    b.rest_ns,
    array_position(enum_range(NULL::ledger.bid_status), b.status) - 1,
    -- Two reasons are new, behind the second.
    coalesce(array_position(enum_range(NULL::ledger.rejection_reason), b.reason), 0)
    + CASE WHEN b.reason > 'unknown_market' THEN 2 ELSE 0 END
FROM ledger_version_1.bid AS b
JOIN ledger.account AS a USING (shard, market, agent_id)
LEFT JOIN ledger.resource_name AS r ON r.shard = b.shard AND r.name = b.resource
ORDER BY b.window_id, b.shard, a.account, b.seq, b.ord;

-- What an agent did, and when. The shard costs nothing: it fills what the alignment leaves empty.
CREATE INDEX bid_account ON ledger.bid (shard, account, "timestamp");

-- Bids lie in the order of their windows, so a summary for each 512 KiB finds those of a window, or
-- of a sequence, at next to no cost for the commit. Sequences are those of several shards, which
-- lie apart: a few intervals each keep them apart.
CREATE INDEX bid_place ON ledger.bid USING brin (
    window_id, seq int8_minmax_multi_ops (values_per_range = 8)
) WITH (pages_per_range = 64, autosummarize = on);

CREATE TABLE ledger.bid_bundle (
    shard smallint NOT NULL,
    seq bigint NOT NULL,
    ord smallint NOT NULL,
    bundle jsonb NOT NULL,
    PRIMARY KEY (shard, seq, ord)
);

INSERT INTO ledger.bid_bundle (shard, seq, ord, bundle)
SELECT shard, seq, ord, bundle FROM ledger_version_1.bid WHERE bundle IS NOT NULL;

ALTER TABLE ledger.command
    ADD COLUMN purpose text COLLATE "C",           -- of grants and transfers; not recorded before
    ALTER COLUMN shard TYPE smallint,
    ALTER COLUMN event_id TYPE uuid USING event_id::uuid,
    ALTER COLUMN reason TYPE smallint USING
        coalesce(array_position(enum_range(NULL::ledger.rejection_reason), reason), 0)
        + CASE WHEN reason > 'unknown_market' THEN 2 ELSE 0 END,
    ALTER COLUMN reason SET NOT NULL;              -- 0: it was applied

-- The latest word of each market's operator. A market lives in one shard for ever.
CREATE TABLE ledger.listing (
    market text COLLATE "C" PRIMARY KEY,
    shard smallint NOT NULL,
    first_seq bigint NOT NULL,                     -- place of the first opening
    first_ord smallint NOT NULL,
    opened_seq bigint NOT NULL,                    -- of the latest opening
    is_open boolean NOT NULL,
    rule text COLLATE "C" NOT NULL,
    stale_after_windows bigint NOT NULL,
    max_commands bigint NOT NULL,
    lag_windows bigint NOT NULL,
    meters int NOT NULL
);

-- A market of version 1 was never closed, and has what an opening leaves to its defaults.
INSERT INTO ledger.listing
SELECT
    market,
    shard,
    opened_seq,
    opened_ord,
    coalesce(
        (
            SELECT max(seq) FROM ledger.command AS c
            WHERE c.shard = known.shard AND c.market = known.market
            AND c.type = 'market_opened' AND c.reason = 0
        ),
        opened_seq
    ),
    true,
    rule,
    stale_after_windows,
    1000,
    600,
    1
FROM ledger_version_1.listing AS known;

DROP TABLE ledger_version_1.listing;
DROP TABLE ledger_version_1.bid;
DROP TABLE ledger_version_1.account;
DROP SCHEMA ledger_version_1;
DROP TYPE ledger.bid_status;
DROP TYPE ledger.rejection_reason;

-- A payload may be a mebibyte of nonsense: its beginning says what it was.
ALTER TABLE ledger.dead_letter ADD COLUMN payload_bytes int;
ALTER TABLE ledger.dead_letter
    ALTER COLUMN payload_bytes TYPE int USING length(payload),
    ALTER COLUMN payload_bytes SET NOT NULL,
    ALTER COLUMN payload TYPE bytea USING substr(payload, 1, 1024);

-- Of version 1 no reserve is known, and of what was wanted only that it was not more than demanded.
ALTER TABLE ledger.price
    ADD COLUMN reserve_micros bigint NOT NULL DEFAULT 0,
    ADD COLUMN wanted bigint;
ALTER TABLE ledger.price
    ALTER COLUMN reserve_micros DROP DEFAULT,
    ALTER COLUMN wanted TYPE bigint USING demanded,
    ALTER COLUMN wanted SET NOT NULL;

-- One row for each window in which a market was active; none of version 1.
CREATE TABLE ledger.market_window (
    market text COLLATE "C" NOT NULL,
    window_id bigint NOT NULL,
    shard smallint NOT NULL,
    rule text COLLATE "C" NOT NULL,
    agents bigint NOT NULL,
    bids bigint NOT NULL,
    won bigint NOT NULL,
    partially_won bigint NOT NULL,
    lost bigint NOT NULL,
    withdrawn bigint NOT NULL,
    rejected bigint NOT NULL,
    commands bigint NOT NULL,
    paid_micros numeric(38, 0) NOT NULL,
    offered_micros numeric(38, 0) NOT NULL,
    served_micros numeric(38, 0) NOT NULL,
    PRIMARY KEY (market, window_id)
);

-- The names that a window mentioned first, which its digest covers: from these numbers up to those.
-- Of version 1 none are: its digests are of another form.
ALTER TABLE ledger."window"
    ADD COLUMN first_account int NOT NULL DEFAULT 0,
    ADD COLUMN next_account int NOT NULL DEFAULT 0,
    ADD COLUMN first_resource int NOT NULL DEFAULT 0,
    ADD COLUMN next_resource int NOT NULL DEFAULT 0;
ALTER TABLE ledger."window"
    ALTER COLUMN first_account DROP DEFAULT,
    ALTER COLUMN next_account DROP DEFAULT,
    ALTER COLUMN first_resource DROP DEFAULT,
    ALTER COLUMN next_resource DROP DEFAULT;

ALTER TABLE ledger.listed_resource ADD COLUMN allowance_windows bigint NOT NULL DEFAULT 0;
ALTER TABLE ledger.listed_resource ALTER COLUMN allowance_windows DROP DEFAULT;

-- Results are published live, once, and read from the ledger afterwards.
ALTER TABLE ledger.shard DROP COLUMN published_window;
