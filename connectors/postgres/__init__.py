"""The ledger's edge: each window becomes one Postgres transaction, and Postgres gives it back."""
