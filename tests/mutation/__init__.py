"""Small ways to break the market's core, each of which some test must notice."""
