"""A naive twin of the market: a second, slow and obvious reading of SEMANTICS."""
