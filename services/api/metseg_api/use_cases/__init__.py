"""What the API does, one module per use case."""
