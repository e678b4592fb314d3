"""What happens to a batch of the log: pure market logic, each with its thin Bytewax shell."""
