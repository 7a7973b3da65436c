"""SavedModels for TensorFlow Serving, and the shipped weights."""
