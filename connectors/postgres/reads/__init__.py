"""What others read of committed windows: queries, history, pricing, progress."""
