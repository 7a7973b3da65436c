"""Messages on the wire. `*_pb2.py` and `*_pb2.pyi` are generated from the `.proto` beside them by `make proto`."""
