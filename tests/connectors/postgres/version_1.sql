-- Two shards of a ledger of version 1, as its last release left them: every table has rows, every
-- kind of bid and command is there, and some values are at the limits of their types.
INSERT INTO ledger.shard VALUES
    (0, 3, 31, 1760000001999999999, 'WALRAS_0', 1759999999123456789, 1000, '\xaa', 1760000000),
    (1, 1, 11, 1760000000999999999, 'WALRAS_1', 1759999999123456789, 1000, '\xbb', NULL);

INSERT INTO ledger."window" (
    shard, window_id, first_seq, next_seq, stream_time_ns, committed_at, digest, prev_digest
)
VALUES
    (0, 1760000000, 1, 21, 1760000000999999999, '2025-10-09 08:53:22+00', '\xa0', '\x00'),
    (0, 1760000001, 21, 31, 1760000001999999999, '2025-10-09 08:53:23+00', '\xaa', '\xa0'),
    (1, 1760000000, 1, 11, 1760000000999999999, '2025-10-09 08:53:22+00', '\xbb', '\x00');

INSERT INTO ledger.bid (
    shard, seq, ord, window_id, "timestamp", rest_ns, market, agent_id, event_id, resource, bundle,
    quantity, unit_price_micros, min_quantity, status, reason, won, paid_micros
)
VALUES
    (0, 5, 0, 1760000000, '2025-10-09 08:53:20.001234+00', 567, 'm1', 'a1',
     '0199c82c-c000-7000-8000-000000000005', 'gpu', NULL, 3, 12, 1, 'won', NULL, 3, 30),
    (0, 6, 0, 1760000000, '2025-10-09 08:53:20.001234+00', 999, 'm1', 'a2',
     '0199C82C-C000-7000-8000-000000000006', 'cpu', NULL, 7, 2, 2, 'partially_won', NULL, 4, 8),
    (0, 6, 1, 1760000000, '2025-10-09 08:53:20.001234+00', 999, 'm1', 'a2',
     '0199c82c-c000-7000-8000-000000000007', NULL, '{"gpu": 2, "cpu": 1000000000000}', 1,
     1000000000000000, 1, 'won', NULL, 1, 9),
    (0, 7, 0, 1760000000, '2025-10-09 08:53:20.5+00', 0, 'm1', 'a2',
     '0199c82c-c000-7000-8000-000000000008', NULL, '{"gpu": 1}', 1, 5, 1, 'lost', NULL, 0, 0),
    (0, 8, 0, 1760000000, '2025-10-09 08:53:20.6+00', 0, 'm1', 'poor',
     '0199c82c-c000-7000-8000-000000000009', 'gpu', NULL, 1000000000000, 1000000000000000, 1,
     'rejected', 'unknown_agent', 0, 0),
    (0, 25, 999, 1760000001, '2025-10-09 08:53:21.7+00', 1, 'm1', 'a1',
     '0199c82c-c000-7000-8000-000000000010', 'gpu', NULL, 1, 1, 1, 'withdrawn', NULL, 0, 0),
    (0, 26, 0, 1760000001, '2025-10-09 08:53:21.8+00', 1, 'no', 'a9',
     '0199c82c-c000-7000-8000-000000000011', 'gpu', NULL, 1, 1, 1, 'rejected', 'unknown_market',
     0, 0),
    (1, 5, 0, 1760000000, '2025-10-09 08:53:20.9+00', 0, 'm2', 'a1',
     '0199c82c-c000-7000-8000-000000000012', 'tape', NULL, 1, 1, 1, 'rejected',
     'insufficient_balance', 0, 0);

INSERT INTO ledger.command (
    shard, seq, ord, window_id, "timestamp", rest_ns, market, agent_id, event_id, type, reason,
    amount_micros, recipient
)
VALUES
    (0, 1, 0, 1760000000, '2025-10-09 08:53:20+00', 0, 'm1', 'treasury',
     '0199c82c-c000-7000-8000-000000000001', 'market_opened', NULL, NULL, NULL),
    (0, 2, 0, 1760000000, '2025-10-09 08:53:20+00', 1, 'm1', 'treasury',
     '0199c82c-c000-7000-8000-000000000002', 'credits_granted', NULL, 100, 'a1'),
    (0, 3, 0, 1760000000, '2025-10-09 08:53:20+00', 2, 'm1', 'treasury',
     '0199c82c-c000-7000-8000-000000000003', 'credits_granted', NULL, 1000000000000000, 'a2'),
    (0, 4, 0, 1760000000, '2025-10-09 08:53:20+00', 3, 'm1', 'a1',
     '0199c82c-c000-7000-8000-000000000004', 'credits_transferred', NULL, 20, 'a3'),
    (0, 9, 0, 1760000000, '2025-10-09 08:53:20.7+00', 0, 'm1', 'a1',
     '0199c82c-c000-7000-8000-000000000004', 'credits_transferred', 'duplicate', 20, 'a4'),
    (0, 21, 0, 1760000001, '2025-10-09 08:53:21+00', 0, 'm1', 'treasury',
     '0199c82c-c000-7000-8000-000000000013', 'market_opened', NULL, NULL, NULL),
    (0, 22, 0, 1760000001, '2025-10-09 08:53:21+00', 0, 'm1', 'treasury',
     '0199c82c-c000-7000-8000-000000000014', 'market_opened', 'future_event_id', NULL, NULL),
    (1, 1, 0, 1760000000, '2025-10-09 08:53:20+00', 0, 'm2', 'treasury',
     '0199c82c-c000-7000-8000-000000000001', 'market_opened', NULL, NULL, NULL),
    (1, 2, 0, 1760000000, '2025-10-09 08:53:20+00', 0, 'm2', 'treasury',
     '0199c82c-c000-7000-8000-000000000002', 'credits_granted', NULL, 7, 'a1');

INSERT INTO ledger.dead_letter (
    shard, seq, ord, window_id, "timestamp", rest_ns, subject, error, payload
)
VALUES
    (0, 10, 0, 1760000000, '2025-10-09 08:53:20.8+00', 0, 'market.m1.bid.a1', 'not JSON',
     decode(repeat('ff', 3000), 'hex')),
    (0, 11, 0, 1760000000, '2025-10-09 08:53:20.8+00', 0, 'market.m1.bid.a1', 'not JSON', '');

INSERT INTO ledger.price VALUES
    ('m1', 1760000000, 'gpu', 10, 10, 5, 6, 5, false),
    ('m1', 1760000000, 'cpu', 3, NULL, 0, 0, 0, true),
    ('m2', 1760000000, 'tape', 1, NULL, 9, 0, 0, true);

INSERT INTO ledger.account VALUES
    ('m1', 'treasury', -20000000000000000100),
    ('m1', 'a1', 50),
    ('m1', 'a2', 19999999999999999983),
    ('m1', 'a3', 20),
    ('m1', 'house', 47),
    ('m2', 'treasury', -7),
    ('m2', 'a1', 7);

INSERT INTO ledger.listing VALUES
    ('m1', 0, 1, 0, 'uniform', 60),
    ('m2', 1, 1, 0, 'vickrey', 9223372036854775807);
INSERT INTO ledger.listed_resource VALUES
    ('m1', 'cpu', 5, 3, 0, 0),
    ('m1', 'gpu', 100, 10, 2, 500000),
    ('m2', 'tape', 9, 1, 0, 0);
INSERT INTO ledger.quote VALUES ('m1', 'gpu', 11, 1760000000);
INSERT INTO ledger.controller VALUES ('m1', 'gpu', '{"controller": "ewma"}');
