"""Tests of `flows/simulation`."""
