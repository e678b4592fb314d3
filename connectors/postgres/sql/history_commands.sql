SELECT window_id, seq, ord, event_id, type, status, reason
FROM walras.commands
WHERE market = %(market)s AND agent_id = %(agent)s
AND window_id >= %(first_window)s AND window_id < %(end_window)s
ORDER BY window_id {order} LIMIT %(rows)s
