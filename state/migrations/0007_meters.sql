-- What was won can be spent: lots, the holds that draw on them, and the meters that hold.

-- A refused event of a meter is a command without an id.
ALTER TABLE ledger.command ALTER COLUMN event_id DROP NOT NULL;

-- What only meters' events are refused for stands behind the reasons that there were.
CREATE OR REPLACE FUNCTION ledger.reason_text(code smallint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (ARRAY[
    'malformed', 'unknown_market', 'market_closed', 'over_quota', 'stale_event_id',
    'future_event_id', 'duplicate', 'not_open', 'unknown_agent', 'self_transfer',
    'unknown_resource', 'unsupported_by_rule', 'exceeds_supply', 'below_reserve',
    'amount_overflow', 'insufficient_balance', 'unknown_meter', 'stale_epoch', 'out_of_order',
    'future_window', 'stale_window', 'insufficient_allowance', 'not_held'
])[code];

-- Resources that any applied opening of a market listed with an allowance.
CREATE TABLE ledger.metered_resource (
    market text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    PRIMARY KEY (market, resource)
);

INSERT INTO ledger.metered_resource (market, resource)
SELECT market, resource FROM ledger.listed_resource WHERE allowance_windows > 0;

-- What an agent won of a metered resource in one window, and what became of it so far. Free are
-- units - held - used. No index has what changes: the rows are updated in their place.
CREATE TABLE ledger.lot (
    window_id bigint NOT NULL,
    last_window bigint NOT NULL,
    units bigint NOT NULL,
    held bigint NOT NULL,
    used bigint NOT NULL,
    overdrawn bigint NOT NULL,                     -- used beyond holds whose last draw was on it
    account int NOT NULL,
    shard smallint NOT NULL,
    meter smallint NOT NULL,
    lapsed boolean NOT NULL,                       -- its time was ended by lag_windows
    resource text COLLATE "C" NOT NULL,
    CHECK (held >= 0 AND used >= 0 AND overdrawn >= 0 AND held + used <= units),
    PRIMARY KEY (shard, account, resource, window_id)
) WITH (fillfactor = 70);

-- A restart looks for the lots whose time is not past: they lie at the end.
CREATE INDEX lot_last ON ledger.lot USING brin (last_window)
    WITH (pages_per_range = 64, autosummarize = on);

-- A meter as each window left it in which it sent anything.
CREATE TABLE ledger.meter (
    market text COLLATE "C" NOT NULL,
    meter smallint NOT NULL,
    shard smallint NOT NULL,
    window_id bigint NOT NULL,
    epoch bigint NOT NULL,
    next_n bigint NOT NULL,
    meter_window bigint NOT NULL,                  -- by which its lots expire
    PRIMARY KEY (market, meter, window_id)
);

CREATE TABLE ledger.open_hold (
    market text COLLATE "C" NOT NULL,
    meter smallint NOT NULL,
    epoch bigint NOT NULL,
    n bigint NOT NULL,
    shard smallint NOT NULL,
    account int NOT NULL,
    resource text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL,
    hold_window bigint NOT NULL,                   -- that the hold named
    held_seq bigint NOT NULL,
    held_at timestamptz NOT NULL,
    held_rest_ns smallint NOT NULL,
    draw_windows bigint[] NOT NULL,                -- windows of the lots that it draws on, in order
    draw_units bigint[] NOT NULL,
    PRIMARY KEY (market, meter, epoch, n)
);

-- A hold that has ended, written once, in the window that ended it.
CREATE TABLE ledger.usage (
    settled_seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamptz NOT NULL,
    epoch bigint NOT NULL,
    n bigint NOT NULL,
    held_seq bigint NOT NULL,
    held_at timestamptz NOT NULL,
    hold_window bigint NOT NULL,                   -- that the hold named
    quantity bigint NOT NULL,
    used bigint NOT NULL,
    account int NOT NULL,
    shard smallint NOT NULL,
    meter smallint NOT NULL,
    rest_ns smallint NOT NULL,
    held_rest_ns smallint NOT NULL,
    resource text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL
);

CREATE INDEX usage_account ON ledger.usage (shard, account, "timestamp");
CREATE INDEX usage_window ON ledger.usage USING brin (window_id)
    WITH (pages_per_range = 64, autosummarize = on);

-- Each opened meter as it is now.
CREATE VIEW walras.meters AS
SELECT market, number::smallint AS meter, latest.epoch, latest.next_n, latest.window_id
FROM ledger.listing,
    generate_series(0, meters - 1) AS number,
    LATERAL (
        SELECT epoch, next_n, meter_window AS window_id
        FROM ledger.meter AS m
        WHERE m.market = listing.market AND m.meter = number
        ORDER BY m.window_id DESC LIMIT 1
    ) AS latest;

-- Every lot with its names; what two public views share.
CREATE VIEW ledger.named_lot AS
SELECT
    a.market,
    a.agent_id,
    l.resource,
    l.window_id,
    l.last_window,
    l.units,
    l.units - l.held - l.used AS remaining,
    l.held,
    l.used,
    l.overdrawn,
    l.lapsed OR l.last_window < m.window_id AS is_past
FROM ledger.lot AS l
JOIN ledger.account AS a USING (shard, account)
JOIN walras.meters AS m USING (market, meter);

CREATE VIEW walras.lots AS
SELECT market, agent_id, resource, window_id, last_window, units, remaining
FROM ledger.named_lot
WHERE NOT is_past;

CREATE VIEW walras.allowances AS
SELECT
    market,
    agent_id,
    resource,
    sum(units)::numeric(38, 0) AS won,
    coalesce(sum(remaining) FILTER (WHERE NOT is_past), 0)::numeric(38, 0) AS free,
    sum(held)::numeric(38, 0) AS held,
    sum(used + overdrawn)::numeric(38, 0) AS used,
    sum(overdrawn)::numeric(38, 0) AS overdrawn,
    coalesce(sum(remaining) FILTER (WHERE is_past), 0)::numeric(38, 0) AS expired
FROM ledger.named_lot
GROUP BY market, agent_id, resource;

CREATE VIEW walras.open_holds AS
SELECT
    a.market,
    a.agent_id,
    h.resource,
    h.meter,
    h.epoch,
    h.n,
    h.held_seq,
    h.hold_window AS window_id,
    h.quantity AS held,
    h.held_at AS "timestamp"
FROM ledger.open_hold AS h
JOIN ledger.account AS a USING (shard, account);

CREATE VIEW walras.usage AS
SELECT
    a.market,
    a.agent_id,
    u.resource,
    u.meter,
    u.epoch,
    u.n,
    u.held_seq,
    u.settled_seq,
    u.hold_window AS window_id,
    u.quantity AS held,
    u.used,
    u.outcome,
    u."timestamp"
FROM ledger.usage AS u
JOIN ledger.account AS a USING (shard, account);
