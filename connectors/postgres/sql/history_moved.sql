-- What an agent's balance moved by in each window of a page and, as one, in all windows after it.
SELECT least(window_id, %(end_window)s), sum(amount_micros)::numeric
FROM walras.transactions
WHERE market = %(market)s AND agent_id = %(agent)s AND "timestamp" >= %(from_at)s
GROUP BY 1
