"""`walras doctor`: checks of the installation, the servers and the schema."""
