"""Questions about the ledger: DuckDB reads the live Postgres, and never more than reads."""
