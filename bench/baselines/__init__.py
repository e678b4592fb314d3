"""Other designs of the same market, as short and fair as they can be, to measure beside."""
