"""Tests of `flows/analytics`."""
