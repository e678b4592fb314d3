"""A deployment from outside, as its users meet it."""
