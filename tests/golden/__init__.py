"""Recorded logs and the digests that they must give for ever."""
