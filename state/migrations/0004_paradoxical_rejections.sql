-- Bids that lost all their units although a winner of the same market and window offered less for a
-- unit of reference value: their bundle, or their min_quantity, did not fit in what was left, or
-- their resource was the scarcer one. A property of greedy clearing that is told, never hidden.
--
-- Densities are compared by cross-multiplication in numeric, which is exact.
CREATE VIEW walras.paradoxical_rejections AS
WITH weighed AS (
    SELECT
        b.market,
        b.window_id,
        b.seq,
        b.ord,
        b.agent_id,
        b.event_id,
        b.kind,
        b.bundle,
        b.status,
        b.limit_micros,
        sum(p.reference_micros * asked.units::numeric) AS weight
    FROM walras.bids AS b
    CROSS JOIN LATERAL jsonb_each_text(b.bundle) AS asked (resource, units)
    JOIN walras.prices AS p
        ON p.market = b.market AND p.window_id = b.window_id AND p.resource = asked.resource
    WHERE b.status IN ('lost', 'partially_won', 'won')
    GROUP BY
        b.market, b.window_id, b.seq, b.ord, b.agent_id, b.event_id, b.kind, b.bundle, b.status,
        b.limit_micros
)
SELECT market, window_id, seq, ord, agent_id, event_id, kind, bundle, limit_micros
FROM weighed AS lost
WHERE status = 'lost' AND EXISTS (
    SELECT FROM weighed AS won
    WHERE won.market = lost.market AND won.window_id = lost.window_id AND won.status <> 'lost'
    AND lost.limit_micros * won.weight > won.limit_micros * lost.weight
);
