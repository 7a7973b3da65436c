"""The gRPC and REST ports, and tensors on the wire."""
