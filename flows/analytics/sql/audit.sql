-- What must hold in any ledger, and how often it does not.
WITH outcomes AS (
    SELECT market, seq, ord FROM bids
    UNION ALL
    SELECT market, seq, ord FROM commands
),
allocated AS (
    SELECT market, window_id, resource, sum(quantity) AS quantity FROM allocations GROUP BY ALL
),
moved AS (
    SELECT market, agent_id, sum(amount_micros) AS balance_micros FROM transactions GROUP BY ALL
),
chain AS (
    SELECT
        prev_digest,
        lag(digest) OVER (PARTITION BY shard ORDER BY window_id) AS before
    FROM windows
),
recorded AS (
    SELECT
        market,
        agent_id,
        resource,
        sum(held) FILTER (WHERE settled_seq IS NULL) AS held,
        sum(used) AS used,
        sum(greatest(used - held, 0)) AS overdrawn
    FROM (FROM usage UNION ALL BY NAME FROM open_holds)
    GROUP BY ALL
),
units AS (
    SELECT market, agent_id, resource, sum(quantity) AS won FROM allocations GROUP BY ALL
),
checks AS (
    SELECT 1 AS place, 'the balances of a market sum to zero' AS promise, (
        SELECT count(*) FROM (SELECT market FROM accounts GROUP BY market HAVING sum(balance_micros) <> 0)
    ) AS violations
    UNION ALL
    SELECT 2, 'no agent owes anything', (
        SELECT count(*) FROM accounts WHERE balance_micros < 0 AND agent_id <> 'treasury'
    )
    UNION ALL
    SELECT 3, 'a balance is the sum of its transactions', (
        SELECT count(*)
        FROM accounts FULL JOIN moved USING (market, agent_id)
        WHERE coalesce(accounts.balance_micros, 0) <> coalesce(moved.balance_micros, 0)
    )
    UNION ALL
    SELECT 4, 'no more is sold than there is', (SELECT count(*) FROM prices WHERE sold > supply)
    UNION ALL
    SELECT 5, 'what is sold is what is allocated', (
        SELECT count(*)
        FROM prices FULL JOIN allocated USING (market, window_id, resource)
        WHERE coalesce(sold, 0) <> coalesce(quantity, 0)
    )
    UNION ALL
    SELECT 6, 'no bid pays more than its limit', (
        SELECT count(*) FROM bids WHERE paid_micros > limit_micros
    )
    UNION ALL
    SELECT 7, 'a command has one outcome', (
        SELECT count(*) FROM (FROM outcomes SELECT market, seq, ord GROUP BY ALL HAVING count(*) > 1)
    )
    UNION ALL
    SELECT 8, 'no more units are metered than were won', (
        SELECT count(*)
        FROM allowances AS a LEFT JOIN units AS u USING (market, agent_id, resource)
        WHERE a.won > coalesce(u.won, 0)
        OR a.won <> free + held + expired + used - overdrawn
        OR least(free, held, expired, used - overdrawn, overdrawn) < 0
    )
    UNION ALL
    SELECT 9, 'units held and used are those of the holds', (
        SELECT count(*)
        FROM allowances AS a FULL JOIN recorded AS r USING (market, agent_id, resource)
        WHERE (a.held, a.used, a.overdrawn) IS DISTINCT FROM
            (coalesce(r.held, 0), coalesce(r.used, 0), coalesce(r.overdrawn, 0))
    )
    UNION ALL
    SELECT 10, 'each digest follows from the one before', (
        SELECT count(*) FROM chain WHERE prev_digest <> before
    )
)
SELECT promise, violations FROM checks ORDER BY place
