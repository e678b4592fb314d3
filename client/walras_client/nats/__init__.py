"""The client's connection to NATS: reconnects, reads a stream, publishes."""
