"""TensorFlow Serving over gRPC: prediction and administration."""
