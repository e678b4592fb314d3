"""The market's core, step by step and as a whole, without any server."""
