"""How many commands are settled in a second, how fast, and that all of them are right."""
