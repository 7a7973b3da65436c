"""Reading jobs for clients: cached and coalesced reads, long polling and event streams."""
