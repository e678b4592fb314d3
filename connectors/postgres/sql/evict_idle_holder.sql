-- A row's xmax is the transaction that locks or has changed it, and every transaction holds a lock
-- on its own number.
SELECT pg_terminate_backend(pid)
FROM ledger.shard
JOIN pg_locks AS held ON held.transactionid = shard.xmax AND held.granted
JOIN pg_stat_activity AS holder USING (pid)
WHERE shard = %s AND wait_event = 'ClientRead' AND state_change < now() - interval '3 s'
