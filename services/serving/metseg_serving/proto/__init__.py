"""Messages of configuration files. `*_pb2.py` and `*_pb2.pyi` are generated from the `.proto` by `make proto`."""
