"""TF Serving as operations see it: the states of versions, and a new configuration.

With `metseg.serving.client`, which asks for probabilities, the only module that imports gRPC.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import grpc
from google.protobuf.message import Message

from metseg.errors import (
    MetsegError,
    ServingError,
    ServingExhaustedError,
    ServingInternalError,
    ServingTimeoutError,
    ServingUnavailableError,
    UnknownModelError,
)
from metseg.serving.proto import serving_wire_pb2 as wire

STABLE: Final = "stable"
"""The label of the version that jobs get."""
CANARY: Final = "canary"
"""The label of the version that a share of the jobs gets."""

RECONNECT: Final = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 2000)]
"""Options of a channel that notices soon when the server is back; gRPC's own back-off grows to two minutes."""

ERROR_OF: Final[Mapping[grpc.StatusCode, type[MetsegError]]] = {
    grpc.StatusCode.UNAVAILABLE: ServingUnavailableError,
    grpc.StatusCode.CANCELLED: ServingUnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: ServingTimeoutError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ServingExhaustedError,
    grpc.StatusCode.INTERNAL: ServingInternalError,
    grpc.StatusCode.ABORTED: ServingInternalError,
    grpc.StatusCode.NOT_FOUND: UnknownModelError,
}
"""The error that stands for a gRPC status; any other status is a `ServingError`."""

_SERVICE: Final = "/tensorflow.serving.ModelService"


@dataclass(frozen=True)
class VersionState:
    """What the server says of a version; `error` is its reason where it could not be loaded."""

    version: int
    state: str
    error: str = ""

    @property
    def is_available(self) -> bool:
        """Whether it can answer."""
        return self.state == "AVAILABLE"

    @property
    def is_coming(self) -> bool:
        """Whether it is going to answer, unless loading it fails."""
        return self.state in ("START", "LOADING")


class ServingControl:
    """A connection to TF Serving; may be used by several threads at once.

    Args:
        target: `host:port` of the server's gRPC port. Nothing is sent before the first call.
        timeout_s: Deadline of each call.
    """

    def __init__(self, target: str, *, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(target, options=RECONNECT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def versions(self, model: str) -> list[VersionState]:
        """Every version that the server knows of a model, oldest first; none of a model that it does not know.

        Raises:
            ServingUnavailableError: The server does not answer.
            ServingTimeoutError: The answer did not come in time.
        """
        request = wire.GetModelStatusRequest(model_spec=wire.ModelSpec(name=model))
        try:
            reply = self._call(f"{_SERVICE}/GetModelStatus", request, wire.GetModelStatusResponse)
        except UnknownModelError:
            return []
        states = wire.ModelVersionStatus.State
        told = [
            VersionState(one.version, states.Name(one.state), one.status.error_message)
            for one in reply.model_version_status
        ]
        return sorted(told, key=lambda one: one.version)

    def is_ready(self, models: Iterable[str]) -> bool:
        """Whether a job has a chance now: the server answers, and it is past loading its first model.

        A server that knows none of the models is ready too, for waiting would not help a job that needs one.

        Raises:
            ServingError: The server does not answer, or not in time.
        """
        is_loading = False
        for model in models:
            versions = self.versions(model)
            if any(version.is_available for version in versions):
                return True
            is_loading = is_loading or any(version.is_coming for version in versions)
        return not is_loading

    def reload(self, config: wire.ModelServerConfig) -> None:
        """Let the server serve what a configuration names, and nothing else.

        Raises:
            ServingError: The server refuses it, in its own words, and serves on as before.
            ServingUnavailableError: The server does not answer.
            ServingTimeoutError: The answer did not come in time.
        """
        request = wire.ReloadConfigRequest(config=config)
        self._call(f"{_SERVICE}/HandleReloadConfigRequest", request, wire.ReloadConfigResponse)

    def _call(self, path: str, request: Message, reply_type: Any) -> Any:  # a class of messages, and one of it
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = self._channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=reply_type.FromString
        )
        try:
            return call(request, timeout=self._timeout_s)
        except grpc.RpcError as exc:
            self._fail(exc)

    def _fail(self, exc: grpc.RpcError) -> NoReturn:
        status, details = exc.code(), exc.details()
        kind = ERROR_OF.get(status, ServingError)
        if kind is ServingUnavailableError:
            raise kind("TF Serving is not available.") from exc
        if kind is ServingTimeoutError:
            raise kind(f"TF Serving did not answer within {self._timeout_s:g} s.") from exc
        if kind is UnknownModelError:
            raise kind(f"TF Serving says: {details}") from exc
        raise kind(f"TF Serving refused ({status.name}): {details}") from exc
