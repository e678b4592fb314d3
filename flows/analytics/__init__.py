"""Questions about committed windows, each a query in a file of its own, and their answers."""
