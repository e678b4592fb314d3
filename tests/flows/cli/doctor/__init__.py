"""Tests of `flows/cli/doctor`."""
