"""Images as arrays with their position in space: reading, writing and limits."""
