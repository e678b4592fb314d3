-- What each resource was offered, asked for and cleared at; nothing sold means no clearing price.
SELECT
    market, window_id, resource, reference_micros, clearing_micros, supply, demanded, sold, stale
FROM prices
WHERE window_id >= $since AND ($market IS NULL OR market = $market)
ORDER BY window_id, market, resource
