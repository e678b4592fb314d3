"""The ledger in Postgres: each window is written in one transaction, and can be read back."""
