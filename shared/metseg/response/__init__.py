"""Response assessment between scans (RANO-BM)."""
