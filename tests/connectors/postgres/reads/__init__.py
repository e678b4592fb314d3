"""Tests of `connectors/postgres/reads`."""
