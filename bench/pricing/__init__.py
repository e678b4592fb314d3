"""How the pricing rules behave in simulated markets."""
