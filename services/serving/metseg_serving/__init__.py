"""A stand-in for TensorFlow Serving, for hosts without containers."""
