-- How many commands had which outcome, and how soon after its end a window with bids was committed.
WITH placed AS (
    SELECT
        count(*) AS bids,
        count(*) FILTER (status = 'won') AS won,
        count(*) FILTER (status = 'partially_won') AS won_in_part,
        count(*) FILTER (status = 'lost') AS lost,
        count(*) FILTER (status = 'withdrawn') AS withdrawn,
        count(*) FILTER (status = 'rejected') AS rejected,
        count(DISTINCT agent_id) AS bidders,
        coalesce(sum(paid_micros), 0) AS paid_micros
    FROM bids
    WHERE market = $market AND window_id >= $since
),
others AS (
    SELECT
        count(*) FILTER (type = 'credits_granted') AS grants,
        count(*) FILTER (type = 'credits_transferred') AS transfers,
        count(*) FILTER (type = 'bid_withdrawn') AS withdrawals
    FROM commands
    WHERE market = $market AND window_id >= $since
),
delays AS (
    SELECT epoch_us(committed_at) - epoch_us(closed_at) AS delay_us
    FROM windows
    WHERE window_id IN (SELECT window_id FROM bids WHERE market = $market)
      AND window_id >= $since
),
committed AS (
    SELECT quantile_disc(delay_us, 0.5) AS p50_us, quantile_disc(delay_us, 0.99) AS p99_us
    FROM delays
)
SELECT * FROM placed, others, committed
