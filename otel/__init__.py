"""How the running market is watched, wrapped around the steps from outside."""
