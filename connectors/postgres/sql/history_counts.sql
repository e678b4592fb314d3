-- How many commands of an agent ended in which way, in one window.
SELECT status, count(*)
FROM (
    SELECT ledger.status_text(status) AS status
    FROM ledger.bid
    WHERE shard = %(shard)s AND account = %(account)s
    AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
    UNION ALL
    SELECT CASE reason WHEN 0 THEN 'applied' ELSE 'rejected' END
    FROM ledger.command
    WHERE shard = %(shard)s AND market = %(market)s AND agent_id = %(agent)s
    AND "timestamp" >= %(from_at)s AND "timestamp" < %(until_at)s
) AS ended
GROUP BY status
