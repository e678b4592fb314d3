-- The ledger's schema as the migrations leave it. For reading: nothing runs this file, and the
-- reasons stand beside the statements in state/migrations. Tables of schema ledger are private,
-- views of schema walras are public.
--
-- Written by `python -m tests.connectors.postgres.schema`.

CREATE SCHEMA ledger;

CREATE SCHEMA walras;

CREATE FUNCTION ledger.reason_text(code smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (ARRAY['malformed'::text, 'unknown_market'::text, 'market_closed'::text, 'over_quota'::text, 'stale_event_id'::text, 'future_event_id'::text, 'duplicate'::text, 'not_open'::text, 'unknown_agent'::text, 'self_transfer'::text, 'unknown_resource'::text, 'unsupported_by_rule'::text, 'exceeds_supply'::text, 'below_reserve'::text, 'amount_overflow'::text, 'insufficient_balance'::text, 'unknown_meter'::text, 'stale_epoch'::text, 'out_of_order'::text, 'future_window'::text, 'stale_window'::text, 'insufficient_allowance'::text, 'not_held'::text])[code];

CREATE FUNCTION ledger.refuse_write() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the views of schema walras are read-only'
        USING ERRCODE = 'insufficient_privilege',
        HINT = 'What is in the ledger follows from the log: send a command.';
END
$$;

CREATE FUNCTION ledger.status_text(code smallint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (ARRAY['rejected'::text, 'withdrawn'::text, 'lost'::text, 'partially_won'::text, 'won'::text])[(code + 1)];

CREATE TABLE ledger.account (
    shard smallint NOT NULL,
    account integer NOT NULL,
    balance_micros bigint,
    wide_micros numeric(38,0),
    market text NOT NULL COLLATE "C",
    agent_id text NOT NULL COLLATE "C",
    CONSTRAINT account_check CHECK (((((balance_micros < 0) OR (wide_micros < (0)::numeric)) IS NOT TRUE) OR (agent_id = 'treasury'::text))),
    PRIMARY KEY (shard, account)
)
WITH (fillfactor='50');

CREATE TABLE ledger.bid (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    quantity bigint NOT NULL,
    unit_price_micros bigint NOT NULL,
    min_quantity bigint NOT NULL,
    won bigint NOT NULL,
    paid_micros bigint NOT NULL,
    lost_value_micros bigint NOT NULL,
    account integer NOT NULL,
    resource integer NOT NULL,
    event_id uuid NOT NULL,
    shard smallint NOT NULL,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    status smallint NOT NULL,
    reason smallint NOT NULL
);

CREATE TABLE ledger.bid_bundle (
    shard smallint NOT NULL,
    seq bigint NOT NULL,
    ord smallint NOT NULL,
    bundle jsonb NOT NULL,
    PRIMARY KEY (shard, seq, ord)
);

CREATE TABLE ledger.command (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    amount_micros bigint,
    shard smallint NOT NULL,
    reason smallint NOT NULL,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    market text NOT NULL COLLATE "C",
    agent_id text NOT NULL COLLATE "C",
    event_id uuid,
    type text NOT NULL COLLATE "C",
    recipient text COLLATE "C",
    purpose text COLLATE "C",
    PRIMARY KEY (shard, seq, ord)
);

CREATE TABLE ledger.controller (
    market text NOT NULL COLLATE "C",
    resource text NOT NULL COLLATE "C",
    choice jsonb NOT NULL,
    PRIMARY KEY (market, resource)
);

CREATE TABLE ledger.dead_letter (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    shard integer NOT NULL,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    subject text NOT NULL COLLATE "C",
    error text NOT NULL COLLATE "C",
    payload bytea NOT NULL,
    payload_bytes integer NOT NULL,
    PRIMARY KEY (shard, seq, ord)
);

CREATE TABLE ledger.listed_resource (
    market text NOT NULL COLLATE "C",
    resource text NOT NULL COLLATE "C",
    supply bigint NOT NULL,
    initial_price_micros bigint NOT NULL,
    reserve_micros bigint NOT NULL,
    reserve_ratio_ppm bigint NOT NULL,
    allowance_windows bigint NOT NULL,
    PRIMARY KEY (market, resource)
);

CREATE TABLE ledger.listing (
    market text NOT NULL COLLATE "C",
    shard smallint NOT NULL,
    first_seq bigint NOT NULL,
    first_ord smallint NOT NULL,
    opened_seq bigint NOT NULL,
    is_open boolean NOT NULL,
    rule text NOT NULL COLLATE "C",
    stale_after_windows bigint NOT NULL,
    max_commands bigint NOT NULL,
    lag_windows bigint NOT NULL,
    meters integer NOT NULL,
    PRIMARY KEY (market)
);

CREATE TABLE ledger.lot (
    window_id bigint NOT NULL,
    last_window bigint NOT NULL,
    units bigint NOT NULL,
    held bigint NOT NULL,
    used bigint NOT NULL,
    overdrawn bigint NOT NULL,
    account integer NOT NULL,
    shard smallint NOT NULL,
    meter smallint NOT NULL,
    lapsed boolean NOT NULL,
    resource text NOT NULL COLLATE "C",
    CONSTRAINT lot_check CHECK (((held >= 0) AND (used >= 0) AND (overdrawn >= 0) AND ((held + used) <= units))),
    PRIMARY KEY (shard, account, resource, window_id)
)
WITH (fillfactor='70');

CREATE TABLE ledger.market_window (
    market text NOT NULL COLLATE "C",
    window_id bigint NOT NULL,
    shard smallint NOT NULL,
    rule text NOT NULL COLLATE "C",
    agents bigint NOT NULL,
    bids bigint NOT NULL,
    won bigint NOT NULL,
    partially_won bigint NOT NULL,
    lost bigint NOT NULL,
    withdrawn bigint NOT NULL,
    rejected bigint NOT NULL,
    commands bigint NOT NULL,
    paid_micros numeric(38,0) NOT NULL,
    offered_micros numeric(38,0) NOT NULL,
    served_micros numeric(38,0) NOT NULL,
    PRIMARY KEY (market, window_id)
);

CREATE TABLE ledger.meter (
    market text NOT NULL COLLATE "C",
    meter smallint NOT NULL,
    shard smallint NOT NULL,
    window_id bigint NOT NULL,
    epoch bigint NOT NULL,
    next_n bigint NOT NULL,
    meter_window bigint NOT NULL,
    PRIMARY KEY (market, meter, window_id)
);

CREATE TABLE ledger.metered_resource (
    market text NOT NULL COLLATE "C",
    resource text NOT NULL COLLATE "C",
    PRIMARY KEY (market, resource)
);

CREATE TABLE ledger.resource_name (
    shard smallint NOT NULL,
    resource integer NOT NULL,
    name text NOT NULL COLLATE "C",
    PRIMARY KEY (shard, resource)
);

CREATE VIEW ledger.named_bid AS
 SELECT a.market,
    a.agent_id,
    (b.event_id)::text AS event_id,
    b.seq,
    b.ord,
    b.shard,
    b.window_id,
    b."timestamp",
        CASE
            WHEN (b.resource < 0) THEN 'bundle'::text
            ELSE 'unit'::text
        END AS kind,
    COALESCE(p.bundle, jsonb_build_object(r.name, b.quantity)) AS bundle,
        CASE
            WHEN (b.resource >= 0) THEN b.min_quantity
            ELSE NULL::bigint
        END AS min_quantity,
        CASE
            WHEN (b.unit_price_micros <= ('9223372036854775807'::bigint / b.quantity)) THEN (b.quantity * b.unit_price_micros)
            ELSE NULL::bigint
        END AS limit_micros,
    ledger.status_text(b.status) AS status,
    ledger.reason_text(b.reason) AS reason,
    b.paid_micros,
    b.lost_value_micros
   FROM (((ledger.bid b
     JOIN ledger.account a USING (shard, account))
     LEFT JOIN ledger.resource_name r USING (shard, resource))
     LEFT JOIN ledger.bid_bundle p USING (shard, seq, ord));

CREATE VIEW walras.meters AS
 SELECT listing.market,
    (number.number)::smallint AS meter,
    latest.epoch,
    latest.next_n,
    latest.window_id
   FROM ledger.listing,
    LATERAL generate_series(0, (listing.meters - 1)) number(number),
    LATERAL ( SELECT m.epoch,
            m.next_n,
            m.meter_window AS window_id
           FROM ledger.meter m
          WHERE ((m.market = listing.market) AND (m.meter = number.number))
          ORDER BY m.window_id DESC
         LIMIT 1) latest;

CREATE VIEW ledger.named_lot AS
 SELECT a.market,
    a.agent_id,
    l.resource,
    l.window_id,
    l.last_window,
    l.units,
    ((l.units - l.held) - l.used) AS remaining,
    l.held,
    l.used,
    l.overdrawn,
    (l.lapsed OR (l.last_window < m.window_id)) AS is_past
   FROM ((ledger.lot l
     JOIN ledger.account a USING (shard, account))
     JOIN walras.meters m USING (market, meter));

CREATE TABLE ledger.open_hold (
    market text NOT NULL COLLATE "C",
    meter smallint NOT NULL,
    epoch bigint NOT NULL,
    n bigint NOT NULL,
    shard smallint NOT NULL,
    account integer NOT NULL,
    resource text NOT NULL COLLATE "C",
    quantity bigint NOT NULL,
    hold_window bigint NOT NULL,
    held_seq bigint NOT NULL,
    held_at timestamp with time zone NOT NULL,
    held_rest_ns smallint NOT NULL,
    draw_windows bigint[] NOT NULL,
    draw_units bigint[] NOT NULL,
    PRIMARY KEY (market, meter, epoch, n)
);

CREATE TABLE ledger.price (
    market text NOT NULL COLLATE "C",
    window_id bigint NOT NULL,
    resource text NOT NULL COLLATE "C",
    reference_micros bigint NOT NULL,
    clearing_micros bigint,
    supply bigint NOT NULL,
    demanded bigint NOT NULL,
    sold bigint NOT NULL,
    stale boolean NOT NULL,
    reserve_micros bigint NOT NULL,
    wanted bigint NOT NULL,
    CONSTRAINT price_check CHECK (((sold >= 0) AND (sold <= supply))),
    PRIMARY KEY (market, window_id, resource)
);

CREATE TABLE ledger.quote (
    market text NOT NULL COLLATE "C",
    resource text NOT NULL COLLATE "C",
    price_micros bigint NOT NULL,
    window_id bigint NOT NULL,
    PRIMARY KEY (market, resource)
);

CREATE TABLE ledger.shard (
    shard integer NOT NULL,
    token bigint DEFAULT 0 NOT NULL,
    next_seq bigint DEFAULT 1 NOT NULL,
    stream_time_ns bigint DEFAULT 0 NOT NULL,
    stream text NOT NULL COLLATE "C",
    stream_created_ns bigint NOT NULL,
    window_ms bigint NOT NULL,
    digest bytea DEFAULT decode(repeat('00'::text, 32), 'hex'::text) NOT NULL,
    CONSTRAINT shard_window_ms_check CHECK ((window_ms > 0)),
    PRIMARY KEY (shard)
);

CREATE TABLE ledger.usage (
    settled_seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    epoch bigint NOT NULL,
    n bigint NOT NULL,
    held_seq bigint NOT NULL,
    held_at timestamp with time zone NOT NULL,
    hold_window bigint NOT NULL,
    quantity bigint NOT NULL,
    used bigint NOT NULL,
    account integer NOT NULL,
    shard smallint NOT NULL,
    meter smallint NOT NULL,
    rest_ns smallint NOT NULL,
    held_rest_ns smallint NOT NULL,
    resource text NOT NULL COLLATE "C",
    outcome text NOT NULL COLLATE "C"
);

CREATE TABLE ledger."window" (
    shard integer NOT NULL,
    window_id bigint NOT NULL,
    first_seq bigint NOT NULL,
    next_seq bigint NOT NULL,
    stream_time_ns bigint NOT NULL,
    committed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    digest bytea NOT NULL,
    prev_digest bytea NOT NULL,
    first_account integer NOT NULL,
    next_account integer NOT NULL,
    first_resource integer NOT NULL,
    next_resource integer NOT NULL,
    PRIMARY KEY (shard, window_id)
);

CREATE VIEW walras.accounts AS
 SELECT market,
    agent_id,
    (COALESCE(wide_micros, (balance_micros)::numeric))::numeric(38,0) AS balance_micros
   FROM ledger.account
  WHERE (balance_micros IS NOT NULL);

CREATE VIEW walras.allocations AS
 SELECT a.market,
    b.window_id,
    b.seq,
    b.ord,
    (b.event_id)::text AS event_id,
    a.agent_id,
    r.name AS resource,
    b.won AS quantity,
    b."timestamp"
   FROM ((ledger.bid b
     JOIN ledger.account a USING (shard, account))
     JOIN ledger.resource_name r USING (shard, resource))
  WHERE (b.won > 0)
UNION ALL
 SELECT a.market,
    b.window_id,
    b.seq,
    b.ord,
    (b.event_id)::text AS event_id,
    a.agent_id,
    (item.key COLLATE "C") AS resource,
    (item.value)::bigint AS quantity,
    b."timestamp"
   FROM ((ledger.bid b
     JOIN ledger.account a USING (shard, account))
     JOIN ledger.bid_bundle p USING (shard, seq, ord)),
    LATERAL jsonb_each_text(p.bundle) item(key, value)
  WHERE ((b.won > 0) AND (b.resource < 0));

CREATE VIEW walras.allowances AS
 SELECT market,
    agent_id,
    resource,
    (sum(units))::numeric(38,0) AS won,
    (COALESCE(sum(remaining) FILTER (WHERE (NOT is_past)), (0)::numeric))::numeric(38,0) AS free,
    (sum(held))::numeric(38,0) AS held,
    (sum((used + overdrawn)))::numeric(38,0) AS used,
    (sum(overdrawn))::numeric(38,0) AS overdrawn,
    (COALESCE(sum(remaining) FILTER (WHERE is_past), (0)::numeric))::numeric(38,0) AS expired
   FROM ledger.named_lot
  GROUP BY market, agent_id, resource;

CREATE VIEW walras.bids AS
 SELECT market,
    agent_id,
    event_id,
    seq,
    ord,
    shard,
    window_id,
    "timestamp",
    kind,
    bundle,
    min_quantity,
    limit_micros,
    status,
    reason,
    paid_micros
   FROM ledger.named_bid;

CREATE VIEW walras.commands AS
 SELECT market,
    agent_id,
    (event_id)::text AS event_id,
    seq,
    ord,
    shard,
    window_id,
    type,
        CASE reason
            WHEN 0 THEN 'applied'::text
            ELSE 'rejected'::text
        END AS status,
    ledger.reason_text(reason) AS reason,
    "timestamp"
   FROM ledger.command;

CREATE VIEW walras.dead_letters AS
 SELECT shard,
    seq,
    ord,
    subject,
    error,
    payload,
    payload_bytes,
    "timestamp"
   FROM ledger.dead_letter;

CREATE VIEW walras.lots AS
 SELECT market,
    agent_id,
    resource,
    window_id,
    last_window,
    units,
    remaining
   FROM ledger.named_lot
  WHERE (NOT is_past);

CREATE VIEW walras.market_windows AS
 SELECT market,
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
 SELECT market,
    shard,
    rule,
    is_open AS open,
    opened_seq,
    stale_after_windows,
    max_commands,
    lag_windows,
    meters
   FROM ledger.listing;

CREATE VIEW walras.open_holds AS
 SELECT a.market,
    a.agent_id,
    h.resource,
    h.meter,
    h.epoch,
    h.n,
    h.held_seq,
    h.hold_window AS window_id,
    h.quantity AS held,
    h.held_at AS "timestamp"
   FROM (ledger.open_hold h
     JOIN ledger.account a USING (shard, account));

CREATE VIEW walras.paradoxical_rejections AS
 SELECT market,
    agent_id,
    event_id,
    seq,
    ord,
    shard,
    window_id,
    "timestamp",
    kind,
    bundle,
    min_quantity,
    limit_micros,
    status,
    reason,
    paid_micros,
    lost_value_micros
   FROM ledger.named_bid
  WHERE (lost_value_micros >= 0);

CREATE VIEW walras.prices AS
 SELECT market,
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

CREATE VIEW walras.resources AS
 SELECT market,
    resource,
    supply,
    initial_price_micros,
    reserve_micros,
    reserve_ratio_ppm,
    allowance_windows
   FROM ledger.listed_resource;

CREATE VIEW walras.transactions AS
 SELECT command.market,
    command.window_id,
    command.shard,
    command.seq,
    command.ord,
    ((((command.shard || '-'::text) || command.seq) || '-'::text) || command.ord) AS txn_id,
    command.agent_id,
    (- command.amount_micros) AS amount_micros,
    command.recipient AS counterparty,
        CASE command.type
            WHEN 'credits_granted'::text THEN 'grant'::text
            ELSE 'transfer'::text
        END AS kind,
    command.purpose,
    (command.event_id)::text AS event_id,
    command."timestamp"
   FROM ledger.command
  WHERE ((command.recipient IS NOT NULL) AND (command.reason = 0))
UNION ALL
 SELECT command.market,
    command.window_id,
    command.shard,
    command.seq,
    command.ord,
    ((((command.shard || '-'::text) || command.seq) || '-'::text) || command.ord) AS txn_id,
    command.recipient AS agent_id,
    command.amount_micros,
    command.agent_id AS counterparty,
        CASE command.type
            WHEN 'credits_granted'::text THEN 'grant'::text
            ELSE 'transfer'::text
        END AS kind,
    command.purpose,
    (command.event_id)::text AS event_id,
    command."timestamp"
   FROM ledger.command
  WHERE ((command.recipient IS NOT NULL) AND (command.reason = 0))
UNION ALL
 SELECT a.market,
    b.window_id,
    b.shard,
    b.seq,
    b.ord,
    ((((b.shard || '-'::text) || b.seq) || '-'::text) || b.ord) AS txn_id,
    a.agent_id,
    (- b.paid_micros) AS amount_micros,
    'house'::text AS counterparty,
    'payment'::text AS kind,
    NULL::text AS purpose,
    (b.event_id)::text AS event_id,
    b."timestamp"
   FROM (ledger.bid b
     JOIN ledger.account a USING (shard, account))
  WHERE (b.paid_micros > 0)
UNION ALL
 SELECT a.market,
    b.window_id,
    b.shard,
    b.seq,
    b.ord,
    ((((b.shard || '-'::text) || b.seq) || '-'::text) || b.ord) AS txn_id,
    'house'::text AS agent_id,
    b.paid_micros AS amount_micros,
    a.agent_id AS counterparty,
    'payment'::text AS kind,
    NULL::text AS purpose,
    (b.event_id)::text AS event_id,
    b."timestamp"
   FROM (ledger.bid b
     JOIN ledger.account a USING (shard, account))
  WHERE (b.paid_micros > 0);

CREATE VIEW walras.usage AS
 SELECT a.market,
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
   FROM (ledger.usage u
     JOIN ledger.account a USING (shard, account));

CREATE VIEW walras.windows AS
 SELECT w.shard,
    w.window_id,
    w.first_seq,
    (w.next_seq - 1) AS last_seq,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + (((w.window_id * s.window_ms))::double precision * '00:00:00.001'::interval)) AS opened_at,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + ((((w.window_id + 1) * s.window_ms))::double precision * '00:00:00.001'::interval)) AS closed_at,
    w.committed_at,
    encode(w.digest, 'hex'::text) AS digest,
    encode(w.prev_digest, 'hex'::text) AS prev_digest
   FROM (ledger."window" w
     JOIN ledger.shard s USING (shard));

CREATE UNIQUE INDEX account_name ON ledger.account USING btree (agent_id, market, shard);

CREATE INDEX bid_account ON ledger.bid USING btree (shard, account, "timestamp");

CREATE INDEX bid_paradoxical ON ledger.bid USING btree (window_id) WHERE (lost_value_micros >= 0);

CREATE INDEX bid_place ON ledger.bid USING brin (window_id, seq int8_minmax_multi_ops (values_per_range='8')) WITH (pages_per_range='64', autosummarize='on');

CREATE INDEX command_agent ON ledger.command USING btree (agent_id, "timestamp");

CREATE INDEX command_recipient ON ledger.command USING btree (recipient, "timestamp") WHERE (recipient IS NOT NULL);

CREATE INDEX lot_last ON ledger.lot USING brin (last_window) WITH (pages_per_range='64', autosummarize='on');

CREATE INDEX price_sold ON ledger.price USING btree (market, resource, window_id) WHERE (sold > 0);

CREATE INDEX usage_account ON ledger.usage USING btree (shard, account, "timestamp");

CREATE INDEX usage_window ON ledger.usage USING brin (window_id) WITH (pages_per_range='64', autosummarize='on');

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.accounts FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.allocations FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.allowances FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.bids FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.commands FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.dead_letters FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.lots FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.market_windows FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.markets FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.meters FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.open_holds FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.paradoxical_rejections FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.prices FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.resources FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.transactions FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.usage FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();

CREATE TRIGGER read_only INSTEAD OF INSERT OR DELETE OR UPDATE ON walras.windows FOR EACH ROW EXECUTE FUNCTION ledger.refuse_write();
