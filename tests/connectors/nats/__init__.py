"""The log and the results against a real nats-server."""
