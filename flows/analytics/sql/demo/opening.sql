-- The window in which the market was opened by this command.
SELECT window_id FROM commands WHERE market = $market AND event_id = $event_id
