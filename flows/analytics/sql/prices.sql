-- What each resource was offered, asked for and cleared at; nothing sold means no clearing price.
-- Wanted are the units of bids whose limit was at least the cost of what they asked for.
SELECT
    market, window_id, resource, reference_micros, reserve_micros, clearing_micros,
    supply, demanded, wanted, sold, stale
FROM prices
WHERE window_id >= $since AND ($market IS NULL OR market = $market)
ORDER BY window_id, market, resource
