-- The first of the last windows that left a row.
SELECT coalesce(min(window_id), 0) AS since
FROM (SELECT DISTINCT window_id FROM windows ORDER BY window_id DESC LIMIT $last)
