-- The balances after a window of all accounts that were active in it.
--
-- Active are accounts that moved credits, and those of agents that sent a command, provided that
-- the account existed by then: it has a balance from that time, or at least an earlier movement.
WITH moved AS MATERIALIZED (
    SELECT
        market,
        agent_id,
        bool_or(seq < %(next_seq)s) AS in_window,
        coalesce(sum(amount_micros) FILTER (WHERE seq >= %(next_seq)s), 0) AS later_micros
    FROM walras.transactions
    WHERE shard = %(shard)s AND seq >= %(first_seq)s
    GROUP BY market, agent_id
),
active AS (
    SELECT market, agent_id FROM moved
    WHERE in_window
    UNION
    SELECT market, agent_id FROM ledger.bid
    WHERE shard = %(shard)s AND seq >= %(first_seq)s AND seq < %(next_seq)s
    UNION
    SELECT market, agent_id FROM ledger.command
    WHERE shard = %(shard)s AND seq >= %(first_seq)s AND seq < %(next_seq)s
    AND agent_id <> %(treasury)s
),
after_window AS (
    SELECT
        market,
        agent_id,
        coalesce(in_window, false) AS in_window,
        balance_micros - coalesce(later_micros, 0) AS balance_micros
    FROM active
    JOIN ledger.account USING (market, agent_id)
    LEFT JOIN moved USING (market, agent_id)
)
SELECT market, agent_id, balance_micros
FROM after_window
WHERE in_window OR balance_micros <> 0 OR EXISTS (
    SELECT FROM walras.transactions AS earlier
    WHERE earlier.market = after_window.market AND earlier.agent_id = after_window.agent_id
    AND earlier.shard = %(shard)s AND earlier.seq < %(first_seq)s
)
ORDER BY market, agent_id
