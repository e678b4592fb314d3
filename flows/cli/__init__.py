"""The command line `walras`: one module for each group of commands."""
