"""Jobs in the blob store: their state, their priors and their expiry."""
