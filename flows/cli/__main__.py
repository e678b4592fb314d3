"""`python -m flows.cli`: the command `walras` of this Python, whatever is on PATH."""

from flows.cli.app import main

main()
