"""The agent's client against a real nats-server, and against whole deployments."""
