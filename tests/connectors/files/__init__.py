"""The log as a file: what may stand in it, and what a damaged one says."""
