-- How many acknowledged commands do not have exactly one outcome, at their place in the log.
-- The shard of a command is not in its view: a market lives in one, so its sequence is enough.
WITH acknowledged AS (
    SELECT
        unnest($event_ids::VARCHAR[]) AS event_id,
        unnest($senders::VARCHAR[]) AS sender,
        unnest($shards::BIGINT[]) AS shard,
        unnest($seqs::BIGINT[]) AS seq
),
outcomes AS (
    SELECT event_id, agent_id AS sender, seq FROM bids WHERE market = $market
    UNION ALL
    SELECT event_id, agent_id, seq FROM commands WHERE market = $market
    UNION ALL
    SELECT event_id, sender, seq
    FROM dead_letters JOIN acknowledged USING (shard, seq)
),
found AS (
    SELECT event_id, count(outcomes.seq) AS outcomes, any_value(outcomes.seq) AS seq
    FROM acknowledged LEFT JOIN outcomes USING (event_id, sender)
    GROUP BY ALL
)
SELECT count(*) AS violations
FROM found JOIN acknowledged USING (event_id)
WHERE outcomes <> 1 OR found.seq <> acknowledged.seq
