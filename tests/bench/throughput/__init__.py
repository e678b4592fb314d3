"""Tests of `bench/throughput`."""
