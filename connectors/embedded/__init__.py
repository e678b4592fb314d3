"""A real nats-server and a real Postgres for one machine, running for as long as they are used."""
