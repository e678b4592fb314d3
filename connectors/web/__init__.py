"""What a deployment serves over HTTP, on the loopback alone."""
