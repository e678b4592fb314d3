"""What may be reached on the bus and on the host by whom, act by act."""
