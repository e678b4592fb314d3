-- How much came through, over the time from the first window's opening to the last one's closing.
WITH passed AS (
    SELECT
        count(*) AS windows,
        coalesce(sum(last_seq - first_seq + 1), 0) AS messages,
        epoch_us(max(closed_at)) - epoch_us(min(opened_at)) AS span_us
    FROM windows
    WHERE window_id >= $since
),
placed AS (
    SELECT count(*) AS bids, count(*) FILTER (status <> 'rejected') AS accepted
    FROM bids
    WHERE window_id >= $since
)
SELECT
    windows,
    messages,
    bids,
    accepted,
    bids - accepted AS rejected,
    coalesce(bids * 1000000 // nullif(span_us, 0), 0) AS bids_per_second
FROM passed, placed
