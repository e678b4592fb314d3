-- The balances of a shard, each behind the number of its account: 12 bytes, in pieces of many.
SELECT string_agg(int4send(account) || int8send(balance_micros), '')
FROM ledger.account
WHERE shard = %(shard)s AND balance_micros IS NOT NULL
GROUP BY account / 100000
