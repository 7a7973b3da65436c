"""The standard health check of gRPC (grpc.health.v1): about the server as a whole and its two services."""

from typing import Any, Final

import grpc

SERVICE: Final = "grpc.health.v1.Health"
_KNOWN: Final = frozenset(
    b"\x0a" + bytes([len(name)]) + name if name else b""  # a HealthCheckRequest: field 1, name of the service
    for name in (b"", b"ModelService", b"PredictionService")
)
_SERVING: Final = b"\x08\x01"  # a HealthCheckResponse: field 1, status SERVING


def register(server: grpc.aio.Server) -> None:
    """Offer the check on a server that has not started yet, and starts only when its models are loaded."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),))


async def _check(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """Answer a HealthCheckRequest; an empty message asks about the server."""
    if request not in _KNOWN:
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return _SERVING
