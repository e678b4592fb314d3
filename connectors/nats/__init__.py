"""The log and the results on NATS JetStream: streams, the source, the publisher, the CLI's door."""
