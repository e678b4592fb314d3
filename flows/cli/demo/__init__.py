"""`walras demo`: run a market, report on it, audit it."""
