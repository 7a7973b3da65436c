"""The standard health check of gRPC (grpc.health.v1), as far as probes ask it: about the server as a whole."""

from typing import Any, Final

import grpc

SERVICE: Final = "grpc.health.v1.Health"
_ANY_SERVICE: Final = b""
_SERVING: Final = b"\x08\x01"  # a HealthCheckResponse: field 1, status SERVING


def register(server: grpc.aio.Server) -> None:
    """Offer the check on a server that has not started yet, and starts only when its models are loaded."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": handler}),))


async def _check(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """Answer a HealthCheckRequest; an empty message asks about the server."""
    if request != _ANY_SERVICE:
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return _SERVING
