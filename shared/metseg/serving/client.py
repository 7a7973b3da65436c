"""The client of TF Serving: batches of slices go out, probabilities come back, checked.

The only module that imports gRPC. It speaks the server's gRPC API through `proto/serving_wire.proto`, so that
no process that uses it needs TensorFlow.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, NoReturn, Self, TypeAlias

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int64Value
from numpy.typing import NDArray

from metseg.errors import (
    ServingContractError,
    ServingError,
    ServingTimeoutError,
    ServingUnavailableError,
    UnknownModelError,
)
from metseg.serving.admin import ERROR_OF, RECONNECT
from metseg.serving.proto import serving_wire_pb2 as wire
from metseg.tracing.api import OFF, Side, Tracer

logger = logging.getLogger(__name__)

SIGNATURE: Final = "serving_default"
PREDICT: Final = "tensorflow.serving.PredictionService/Predict"
INPUT: Final = "slices"
OUTPUT: Final = "probability"
SLICES_SHAPE: Final = (-1, 256, 256, 3)
PROBABILITY_SHAPE: Final = (-1, 256, 256, 1)

_Call: TypeAlias = "grpc.Future[wire.PredictResponse]"

_CHANNEL_OPTIONS: Final = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),  # a name that stands for several replicas
    *RECONNECT,
]


class ServingClient:
    """A connection to TF Serving; may be used by several threads at once.

    Args:
        target: `host:port` of the server's gRPC port. Nothing is sent before the first call.
        timeout_s: Deadline of each call, counted from the moment it is sent.
        tracer: Makes a span of each call of Predict, which the server is told of.
    """

    def __init__(self, target: str, *, timeout_s: float = 30.0, tracer: Tracer = OFF) -> None:
        self._timeout_s = timeout_s
        self._tracer = tracer
        self._channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
        self._predict: grpc.UnaryUnaryMultiCallable[wire.PredictRequest, wire.PredictResponse] = (
            self._channel.unary_unary(
                f"/{PREDICT}",
                request_serializer=wire.PredictRequest.SerializeToString,
                response_deserializer=wire.PredictResponse.FromString,
            )
        )
        self._metadata: grpc.UnaryUnaryMultiCallable[
            wire.GetModelMetadataRequest, wire.GetModelMetadataResponse
        ] = self._channel.unary_unary(
            "/tensorflow.serving.PredictionService/GetModelMetadata",
            request_serializer=wire.GetModelMetadataRequest.SerializeToString,
            response_deserializer=wire.GetModelMetadataResponse.FromString,
        )
        self._status: grpc.UnaryUnaryMultiCallable[wire.GetModelStatusRequest, wire.GetModelStatusResponse] = (
            self._channel.unary_unary(
                "/tensorflow.serving.ModelService/GetModelStatus",
                request_serializer=wire.GetModelStatusRequest.SerializeToString,
                response_deserializer=wire.GetModelStatusResponse.FromString,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def predict(self, model: str, version: int, slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability of lesion for each pixel of a batch of slices.

        Args:
            model: Name of the model.
            version: Version that must answer.
            slices: (n, 256, 256, 3), n at least 1.

        Returns:
            (n, 256, 256, 1) in [0, 1], not writable.

        Raises:
            UnknownModelError: The server does not serve that version of the model.
            ServingUnavailableError: The server does not answer, or its queue is full.
            ServingTimeoutError: The answer did not come in time.
            ServingExhaustedError: The server has no memory for the batch.
            ServingInternalError: The server failed by an error of its own.
            ServingContractError: The answer is not what was asked for.
            ServingError: The server refused the request for another reason.
        """
        return self._receive(self._send(model, version, slices), slices.shape[0], model, version)

    def predict_many(
        self, model: str, version: int, batches: Iterable[NDArray[np.uint8]], *, in_flight: int = 3
    ) -> Iterator[NDArray[np.float32]]:
        """As `predict`, for one batch after another, in their order, several of them under way at once.

        A batch is taken from `batches` only when there is room for it. A caller that stops before the end, by an
        error or by closing the iterator, cancels what is under way.

        Args:
            model: Name of the model.
            version: Version that must answer.
            batches: Arrays as `predict` takes them.
            in_flight: How many calls may be under way, at least 1.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, not {in_flight}")
        return self._pipeline(model, version, batches, in_flight)

    def available_versions(self, model: str) -> list[int]:
        """Versions of a model that can answer now, newest first; empty while the first is still loading.

        Raises:
            UnknownModelError: The server does not know the model.
            ServingUnavailableError: The server does not answer.
            ServingTimeoutError: The answer did not come in time.
        """
        available = wire.ModelVersionStatus.State.AVAILABLE
        return sorted((v for v, state in self._states(model).items() if state == available), reverse=True)

    def is_loading(self, model: str, version: int) -> bool:
        """Whether a version that cannot answer now is still being loaded; False for a model that is not known.

        Raises:
            ServingUnavailableError: The server does not answer.
            ServingTimeoutError: The answer did not come in time.
        """
        state = wire.ModelVersionStatus.State
        try:
            return self._states(model).get(version) in (state.START, state.LOADING)
        except UnknownModelError:
            return False

    def check_signature(self, model: str, version: int) -> None:
        """Make sure that a served model takes and gives what metseg's models do.

        Raises:
            ServingContractError: Its input or output has another name, type or shape.
            UnknownModelError: The server does not serve that version of the model.
            ServingUnavailableError: The server does not answer.
            ServingTimeoutError: The answer did not come in time.
        """
        request = wire.GetModelMetadataRequest(
            model_spec=_model_spec(model, version), metadata_field=["signature_def"]
        )
        try:
            reply = self._metadata(request, timeout=self._timeout_s)
        except grpc.RpcError as exc:
            self._fail(exc, f"version {version} of model {model}")
        try:
            signatures = wire.SignatureDefMap.FromString(reply.metadata["signature_def"].value).signature_def
        except DecodeError as exc:
            raise ServingContractError(f"Model {model} has no readable signature") from exc
        signature = signatures[SIGNATURE] if SIGNATURE in signatures else wire.SignatureDef()
        inputs = {name: (info.dtype, _shape(info.tensor_shape)) for name, info in signature.inputs.items()}
        outputs = {name: (info.dtype, _shape(info.tensor_shape)) for name, info in signature.outputs.items()}
        if inputs != {INPUT: (wire.DT_UINT8, SLICES_SHAPE)}:
            raise ServingContractError(f"Model {model} takes {sorted(inputs)}, not uint8 {INPUT} {SLICES_SHAPE}")
        if outputs != {OUTPUT: (wire.DT_FLOAT, PROBABILITY_SHAPE)}:
            raise ServingContractError(
                f"Model {model} gives {sorted(outputs)}, not float32 {OUTPUT} {PROBABILITY_SHAPE}"
            )

    def _states(self, model: str) -> dict[int, int]:
        """The state of each version of a model that the server knows."""
        request = wire.GetModelStatusRequest(model_spec=wire.ModelSpec(name=model))
        try:
            reply = self._status(request, timeout=self._timeout_s)
        except grpc.RpcError as exc:
            self._fail(exc, f"model {model}")
        return {one.version: one.state for one in reply.model_version_status}

    def _pipeline(
        self, model: str, version: int, batches: Iterable[NDArray[np.uint8]], in_flight: int
    ) -> Iterator[NDArray[np.float32]]:
        waiting: deque[tuple[_Call, int]] = deque()
        try:
            for batch in batches:
                waiting.append((self._send(model, version, batch), batch.shape[0]))
                if len(waiting) == in_flight:
                    yield self._receive(*waiting.popleft(), model, version)
            while waiting:
                yield self._receive(*waiting.popleft(), model, version)
        finally:
            for call, _ in waiting:
                call.cancel()

    def _send(self, model: str, version: int, slices: NDArray[np.uint8]) -> _Call:
        if slices.dtype != np.uint8 or slices.shape[1:] != SLICES_SHAPE[1:] or slices.shape[0] < 1:
            raise ValueError(f"slices must be uint8 (n, 256, 256, 3), not {slices.dtype} {slices.shape}")
        tensor = wire.Tensor(
            dtype=wire.DT_UINT8,
            tensor_shape=wire.TensorShape(dim=[wire.TensorShape.Dim(size=size) for size in slices.shape]),
            tensor_content=slices.tobytes(),
        )
        request = wire.PredictRequest(
            model_spec=_model_spec(model, version), inputs={INPUT: tensor}, output_filter=[OUTPUT]
        )
        span = self._tracer.begin(PREDICT, side=Side.CLIENT, model=model, version=version, slices=slices.shape[0])
        metadata = None if span.traceparent is None else (("traceparent", span.traceparent),)
        call = self._predict.future(request, timeout=self._timeout_s, metadata=metadata)
        call.add_done_callback(lambda _: span.end(_failure(call)))
        return call

    def _receive(self, call: _Call, count: int, model: str, version: int) -> NDArray[np.float32]:
        subject = f"version {version} of model {model}"
        try:
            reply = call.result()
        except grpc.FutureCancelledError as exc:
            raise ServingUnavailableError("The connection to TF Serving was closed during a call") from exc
        except grpc.RpcError as exc:
            self._fail(exc, subject)
        answered = reply.model_spec
        if answered.name != model or answered.version.value != version:
            raise ServingContractError(
                f"Asked {subject}, but version {answered.version.value} of model {answered.name} answered"
            )
        if OUTPUT not in reply.outputs:
            raise ServingContractError(f"The answer of {subject} has no {OUTPUT}")
        return _probability(reply.outputs[OUTPUT], (count, *PROBABILITY_SHAPE[1:]), subject)

    def _fail(self, exc: grpc.RpcError, subject: str) -> NoReturn:
        """Raise the error of the tree that stands for a gRPC status."""
        status: grpc.StatusCode = exc.code()
        kind = ERROR_OF.get(status, ServingError)
        extra = {"grpc_status": status.name, "grpc_details": exc.details() or ""}
        if kind is ServingUnavailableError:
            logger.warning("TF Serving is not available", extra=extra)
            raise kind("TF Serving is not available, or has no room for the request.") from exc
        if kind is ServingTimeoutError:
            raise kind(f"TF Serving did not answer for {subject} within {self._timeout_s:g} s") from exc
        if kind is UnknownModelError:
            raise kind(f"TF Serving does not serve {subject}") from exc
        logger.error("TF Serving refused a call", extra=extra)
        raise kind(f"TF Serving refused {subject} ({status.name}).") from exc


def _failure(call: _Call) -> str | None:
    """The gRPC status of a call that has ended, unless it ended well."""
    if call.cancelled():
        return grpc.StatusCode.CANCELLED.name
    error = call.exception()
    return error.code().name if isinstance(error, grpc.RpcError) else None


def _model_spec(model: str, version: int) -> wire.ModelSpec:
    return wire.ModelSpec(name=model, version=Int64Value(value=version), signature_name=SIGNATURE)


def _shape(shape: wire.TensorShape) -> tuple[int, ...]:
    return tuple(dim.size for dim in shape.dim)


def _probability(tensor: wire.Tensor, shape: tuple[int, ...], subject: str) -> NDArray[np.float32]:
    """The array in a reply, from either of the forms a server may give it."""
    if tensor.dtype != wire.DT_FLOAT or _shape(tensor.tensor_shape) != shape:
        raise ServingContractError(
            f"The answer of {subject} is of type {tensor.dtype} and shape {_shape(tensor.tensor_shape)}, "
            f"not float32 {shape}"
        )
    if tensor.tensor_content:
        if len(tensor.tensor_content) % 4:
            raise ServingContractError(f"The answer of {subject} breaks off within a value")
        values = np.frombuffer(tensor.tensor_content, dtype="<f4")
    else:
        values = np.array(tensor.float_val, dtype=np.float32)
    if values.size != np.prod(shape):
        raise ServingContractError(f"The answer of {subject} has {values.size} values, which is not shape {shape}")
    lowest, highest = float(values.min()), float(values.max())  # NaN if any value is
    if not (lowest >= 0.0 and highest <= 1.0):
        raise ServingContractError(f"The answer of {subject} is not within 0 and 1: {lowest:g} to {highest:g}")
    values.flags.writeable = False
    return values.reshape(shape)
