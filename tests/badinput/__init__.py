"""Bad input in bulk: texts at the edge of JSON and strings that break programs, to the ledger."""
