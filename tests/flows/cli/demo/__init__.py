"""Tests of `flows/cli/demo`."""
