"""The event registry, tested as an agent in another repository would meet it."""
