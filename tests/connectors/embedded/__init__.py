"""The embedded servers: shared by processes that start, stop, crash and are killed."""
