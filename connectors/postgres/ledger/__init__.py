"""What the allocation flow writes to the ledger and restores from it."""
