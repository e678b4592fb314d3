"""Simulated agents: who they are, how they bid, and the sender that keeps up with them."""
