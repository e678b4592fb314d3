-- The tables of baseline (c).
CREATE TABLE account (agent text PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE bid (
    event_id text PRIMARY KEY, agent text, window_id bigint, resource text, quantity bigint,
    price bigint, status text, won bigint
);
CREATE INDEX ON bid (agent, window_id)
