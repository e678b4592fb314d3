"""The benchmark measures what it says: tiny runs whose outcome is known."""
