"""Questions to the live ledger, tested on a real Postgres."""
