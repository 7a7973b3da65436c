"""Limited child processes that parse uploaded files."""
