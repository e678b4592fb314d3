DELETE FROM ledger.open_hold AS open_hold
USING unnest(%s::text[], %s::smallint[], %s::bigint[], %s::bigint[])
    AS ended (market, meter, epoch, n)
WHERE open_hold.market = ended.market
AND open_hold.meter = ended.meter
AND open_hold.epoch = ended.epoch
AND open_hold.n = ended.n
