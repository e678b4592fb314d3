-- The first of the last windows that such markets cleared in.
SELECT coalesce(min(window_id), 0) AS since
FROM (
    SELECT DISTINCT window_id FROM prices
    WHERE $market IS NULL OR market = $market
    ORDER BY window_id DESC LIMIT $last
)
