-- The ledger's schema as the migrations leave it. For reading: nothing runs this file, and the
-- reasons stand beside the statements in state/migrations. Tables of schema ledger are private,
-- views of schema walras are public.
--
-- Written by `python -m tests.connectors.postgres.schema`.

CREATE SCHEMA ledger;

CREATE SCHEMA walras;

CREATE TYPE ledger.bid_status AS ENUM (
    'rejected',
    'withdrawn',
    'lost',
    'partially_won',
    'won'
);

CREATE TYPE ledger.rejection_reason AS ENUM (
    'malformed',
    'unknown_market',
    'stale_event_id',
    'future_event_id',
    'duplicate',
    'not_open',
    'unknown_agent',
    'self_transfer',
    'unknown_resource',
    'unsupported_by_rule',
    'exceeds_supply',
    'below_reserve',
    'amount_overflow',
    'insufficient_balance'
);

CREATE TABLE ledger.account (
    market text NOT NULL COLLATE "C",
    agent_id text NOT NULL COLLATE "C",
    balance_micros numeric(38,0) NOT NULL,
    CONSTRAINT account_check CHECK (((balance_micros >= (0)::numeric) OR (agent_id = 'treasury'::text))),
    PRIMARY KEY (market, agent_id)
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
    shard integer NOT NULL,
    status ledger.bid_status NOT NULL,
    reason ledger.rejection_reason,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    market text NOT NULL COLLATE "C",
    agent_id text NOT NULL COLLATE "C",
    event_id text NOT NULL COLLATE "C",
    resource text COLLATE "C",
    bundle jsonb,
    CONSTRAINT bid_check CHECK ((num_nonnulls(resource, bundle) = 1)),
    PRIMARY KEY (shard, seq, ord)
);

CREATE TABLE ledger.command (
    seq bigint NOT NULL,
    window_id bigint NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    amount_micros bigint,
    shard integer NOT NULL,
    reason ledger.rejection_reason,
    ord smallint NOT NULL,
    rest_ns smallint NOT NULL,
    market text NOT NULL COLLATE "C",
    agent_id text NOT NULL COLLATE "C",
    event_id text NOT NULL COLLATE "C",
    type text NOT NULL COLLATE "C",
    recipient text COLLATE "C",
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
    PRIMARY KEY (shard, seq, ord)
);

CREATE TABLE ledger.listed_resource (
    market text NOT NULL COLLATE "C",
    resource text NOT NULL COLLATE "C",
    supply bigint NOT NULL,
    initial_price_micros bigint NOT NULL,
    reserve_micros bigint NOT NULL,
    reserve_ratio_ppm bigint NOT NULL,
    PRIMARY KEY (market, resource)
);

CREATE TABLE ledger.listing (
    market text NOT NULL COLLATE "C",
    shard integer NOT NULL,
    opened_seq bigint NOT NULL,
    opened_ord smallint NOT NULL,
    rule text NOT NULL COLLATE "C",
    stale_after_windows bigint NOT NULL,
    PRIMARY KEY (market)
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
    published_window bigint,
    CONSTRAINT shard_window_ms_check CHECK ((window_ms > 0)),
    PRIMARY KEY (shard)
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
    PRIMARY KEY (shard, window_id)
);

CREATE VIEW walras.accounts AS
 SELECT market,
    agent_id,
    balance_micros
   FROM ledger.account;

CREATE VIEW walras.allocations AS
 SELECT bid.market,
    bid.window_id,
    bid.seq,
    bid.ord,
    bid.event_id,
    bid.agent_id,
    bid.resource,
    bid.won AS quantity,
    bid."timestamp"
   FROM ledger.bid
  WHERE ((bid.won > 0) AND (bid.bundle IS NULL))
UNION ALL
 SELECT bid.market,
    bid.window_id,
    bid.seq,
    bid.ord,
    bid.event_id,
    bid.agent_id,
    (item.key COLLATE "C") AS resource,
    (item.value)::bigint AS quantity,
    bid."timestamp"
   FROM ledger.bid,
    LATERAL jsonb_each_text(bid.bundle) item(key, value)
  WHERE ((bid.won > 0) AND (bid.bundle IS NOT NULL));

CREATE VIEW walras.bids AS
 SELECT market,
    agent_id,
    event_id,
    seq,
    ord,
    shard,
    window_id,
    "timestamp",
        CASE
            WHEN (bundle IS NULL) THEN 'unit'::text
            ELSE 'bundle'::text
        END AS kind,
    COALESCE(bundle, jsonb_build_object(resource, quantity)) AS bundle,
        CASE
            WHEN (unit_price_micros <= ('9223372036854775807'::bigint / quantity)) THEN (quantity * unit_price_micros)
            ELSE NULL::bigint
        END AS limit_micros,
    (status)::text AS status,
    (reason)::text AS reason,
    paid_micros
   FROM ledger.bid;

CREATE VIEW walras.commands AS
 SELECT market,
    agent_id,
    event_id,
    seq,
    ord,
    window_id,
    type,
        CASE
            WHEN (reason IS NULL) THEN 'applied'::text
            ELSE 'rejected'::text
        END AS status,
    (reason)::text AS reason
   FROM ledger.command;

CREATE VIEW walras.dead_letters AS
 SELECT shard,
    seq,
    ord,
    subject,
    error,
    payload,
    "timestamp"
   FROM ledger.dead_letter;

CREATE VIEW walras.prices AS
 SELECT market,
    window_id,
    resource,
    reference_micros,
    clearing_micros,
    supply,
    demanded,
    sold,
    stale
   FROM ledger.price;

CREATE VIEW walras.paradoxical_rejections AS
 WITH weighed AS (
         SELECT b.market,
            b.window_id,
            b.seq,
            b.ord,
            b.agent_id,
            b.event_id,
            b.kind,
            b.bundle,
            b.status,
            b.limit_micros,
            sum(((p.reference_micros)::numeric * (asked.units)::numeric)) AS weight
           FROM ((walras.bids b
             CROSS JOIN LATERAL jsonb_each_text(b.bundle) asked(resource, units))
             JOIN walras.prices p ON (((p.market = b.market) AND (p.window_id = b.window_id) AND (p.resource = asked.resource))))
          WHERE (b.status = ANY (ARRAY['lost'::text, 'partially_won'::text, 'won'::text]))
          GROUP BY b.market, b.window_id, b.seq, b.ord, b.agent_id, b.event_id, b.kind, b.bundle, b.status, b.limit_micros
        )
 SELECT market,
    window_id,
    seq,
    ord,
    agent_id,
    event_id,
    kind,
    bundle,
    limit_micros
   FROM weighed lost
  WHERE ((status = 'lost'::text) AND (EXISTS ( SELECT
           FROM weighed won
          WHERE ((won.market = lost.market) AND (won.window_id = lost.window_id) AND (won.status <> 'lost'::text) AND (((lost.limit_micros)::numeric * won.weight) > ((won.limit_micros)::numeric * lost.weight))))));

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
    command.event_id,
    command."timestamp"
   FROM ledger.command
  WHERE ((command.recipient IS NOT NULL) AND (command.reason IS NULL))
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
    command.event_id,
    command."timestamp"
   FROM ledger.command
  WHERE ((command.recipient IS NOT NULL) AND (command.reason IS NULL))
UNION ALL
 SELECT bid.market,
    bid.window_id,
    bid.shard,
    bid.seq,
    bid.ord,
    ((((bid.shard || '-'::text) || bid.seq) || '-'::text) || bid.ord) AS txn_id,
    bid.agent_id,
    (- bid.paid_micros) AS amount_micros,
    'house'::text AS counterparty,
    'payment'::text AS kind,
    bid.event_id,
    bid."timestamp"
   FROM ledger.bid
  WHERE (bid.paid_micros > 0)
UNION ALL
 SELECT bid.market,
    bid.window_id,
    bid.shard,
    bid.seq,
    bid.ord,
    ((((bid.shard || '-'::text) || bid.seq) || '-'::text) || bid.ord) AS txn_id,
    'house'::text AS agent_id,
    bid.paid_micros AS amount_micros,
    bid.agent_id AS counterparty,
    'payment'::text AS kind,
    bid.event_id,
    bid."timestamp"
   FROM ledger.bid
  WHERE (bid.paid_micros > 0);

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

CREATE INDEX bid_agent ON ledger.bid USING btree (agent_id, "timestamp");

CREATE INDEX command_agent ON ledger.command USING btree (agent_id, "timestamp");

CREATE INDEX command_recipient ON ledger.command USING btree (recipient, "timestamp") WHERE (recipient IS NOT NULL);

CREATE INDEX price_sold ON ledger.price USING btree (market, resource, window_id) WHERE (sold > 0);
