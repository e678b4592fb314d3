"""How many commands are settled per second, how fast, and that all of them are right."""
