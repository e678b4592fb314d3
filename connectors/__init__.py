"""The edges of the system, one folder for each thing outside that it speaks with."""
