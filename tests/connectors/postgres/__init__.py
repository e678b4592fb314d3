"""The ledger on a real Postgres: what is committed, refused, read back and shown."""
