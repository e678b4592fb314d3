"""Questions about the ledger: DuckDB reads the live Postgres, read-only."""
