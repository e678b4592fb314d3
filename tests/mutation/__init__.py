"""Small ways to break the product, each of which some test must notice."""
