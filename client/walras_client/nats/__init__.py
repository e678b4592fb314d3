"""NATS as agents and deployment use it: connection, stream reader, acknowledgements."""
