-- The last message of a shard that is in the ledger.
SELECT coalesce(max(last_seq), 0) AS last_seq FROM windows WHERE shard = $shard
