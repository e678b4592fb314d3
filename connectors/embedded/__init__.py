"""A real nats-server and a real Postgres for a laptop, there for as long as anyone uses them."""
