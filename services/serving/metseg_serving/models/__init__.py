"""Models on disk and in memory: versions, labels and batching."""
