"""Workloads and the reports of how fast the market clears them."""
