"""The local model server: it speaks TensorFlow Serving's protocols, for hosts without containers."""
