-- The latest window of a resource before one, and its latest windows with sales, in order.
WITH latest AS (
    SELECT * FROM ledger.price
    WHERE market = %(market)s AND resource = %(resource)s AND window_id < %(before)s
    ORDER BY window_id DESC LIMIT 1
),
sales AS (
    SELECT * FROM ledger.price
    WHERE market = %(market)s AND resource = %(resource)s AND window_id < %(before)s
    AND sold > 0
    ORDER BY window_id DESC LIMIT %(sales)s
)
SELECT window_id, reference_micros, clearing_micros, supply, sold, wanted
FROM (SELECT * FROM latest UNION SELECT * FROM sales) AS past
ORDER BY window_id
