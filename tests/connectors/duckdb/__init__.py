"""Queries of the live ledger, tested on a real Postgres."""
