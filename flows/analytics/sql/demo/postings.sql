-- How many transactions have not two postings that sum to zero.
SELECT count(*) AS violations
FROM (
    SELECT txn_id
    FROM transactions
    GROUP BY shard, txn_id
    HAVING sum(amount_micros) <> 0 OR count(*) <> 2
)
