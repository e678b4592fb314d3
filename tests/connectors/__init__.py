"""Each edge of the system, tested against the real thing behind it."""
