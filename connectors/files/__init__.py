"""A shard's log as a file: what `walras log export` writes and `walras replay` reads."""
