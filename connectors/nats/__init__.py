"""The log and the results on NATS JetStream: streams, the source, the publishers."""
