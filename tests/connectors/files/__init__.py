"""The log as a file: what it may contain, and how a damaged one is reported."""
