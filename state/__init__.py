"""What a shard remembers between two messages, and the rows its windows leave behind."""
