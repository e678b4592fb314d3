"""The proofs that the house stands, in folders named after what they test."""
