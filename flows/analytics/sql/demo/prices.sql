-- How the price of each resource went, over the windows in which anybody asked for it.
SELECT
    resource,
    arg_max(supply, window_id) AS supply,
    arg_max(reference_micros, window_id) AS reference_micros,
    min(clearing_micros) AS low_micros,
    max(clearing_micros) AS high_micros,
    arg_max(clearing_micros, window_id) AS last_micros,
    sum(demanded) * 100 // nullif(sum(supply), 0) AS demanded_percent,
    sum(sold) * 100 // nullif(sum(supply), 0) AS sold_percent,
    list(clearing_micros ORDER BY window_id) FILTER (clearing_micros IS NOT NULL) AS history
FROM prices
WHERE market = $market AND window_id >= $since AND demanded > 0
GROUP BY resource
ORDER BY resource
