"""The query service: balance, prices and history over request and reply."""
