-- The markets of a shard that were active in each of its windows from one to another.
SELECT
    window_id,
    market,
    rule,
    agents,
    bids,
    won,
    partially_won,
    lost,
    withdrawn,
    rejected,
    commands,
    paid_micros,
    offered_micros,
    served_micros
FROM walras.market_windows
WHERE market IN (SELECT market FROM walras.markets WHERE shard = %(shard)s)
AND window_id BETWEEN %(first)s AND %(last)s
ORDER BY window_id, market
