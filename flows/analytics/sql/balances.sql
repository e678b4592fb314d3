-- What everyone owns; the treasury owes what it granted, so a market's balances sum to zero.
SELECT market, agent_id, balance_micros
FROM accounts
WHERE market = $market AND ($agent IS NULL OR agent_id = $agent)
ORDER BY agent_id
