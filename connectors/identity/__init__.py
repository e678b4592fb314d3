"""Who may speak on the broker: keys, signed claims, the rights of each role, agents in cells."""
