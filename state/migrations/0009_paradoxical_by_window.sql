-- The paradoxical rejections of a window, read without the other bids of the ledger. They are few:
-- of all other bids the commit only sees that they are none.
CREATE INDEX bid_paradoxical ON ledger.bid (window_id) WHERE lost_value_micros >= 0;
