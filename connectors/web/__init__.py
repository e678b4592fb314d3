"""Pages that other programs read over HTTP."""
