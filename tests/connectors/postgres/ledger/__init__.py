"""Tests of `connectors/postgres/ledger`."""
