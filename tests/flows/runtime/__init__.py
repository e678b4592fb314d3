"""Tests of `flows/runtime`."""
