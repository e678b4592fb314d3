-- What all markets did after a window: its last window, how many there were, bids and winners.
SELECT
    coalesce(max(window_id), %(after)s),
    count(DISTINCT window_id),
    coalesce(sum(bids), 0)::bigint,
    coalesce(sum(won + partially_won), 0)::bigint
FROM ledger.listing AS market
JOIN LATERAL (
    SELECT window_id, bids, won, partially_won
    FROM ledger.market_window AS later
    WHERE later.market = market.market AND window_id > %(after)s
) AS later ON true
