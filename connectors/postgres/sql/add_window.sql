INSERT INTO ledger."window" (
    shard, window_id, first_seq, next_seq, stream_time_ns, digest, prev_digest,
    first_account, next_account, first_resource, next_resource
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
