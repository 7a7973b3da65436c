"""TF Serving over real gRPC with a rule in the network's place: bright is lesion."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import grpc
import numpy as np

from metseg.serving.proto import serving_wire_pb2 as wire


class BrightServing:
    """Answers Predict and GetModelStatus for every model and version; 1 where the middle channel is bright.

    Attributes:
        gate: While it is cleared, answers wait.
        calls: Predict calls that came in.
        refused_calls: The Predict calls of these numbers, from 1, are answered UNAVAILABLE.
        pause_s: Each answer takes at least this long.
        on_call: Called at each Predict.
        traceparents: Of the Predict calls that came in with one.
        spoil: Changes each answer of Predict before it is sent.
        is_loaded: While it is false, the version is being loaded, as in the middle of a start.
        is_gone: While it is true, the version was unloaded for good.
        refuses: Asked at each Predict with its number of slices for a status to answer with; None answers well.
        lesion_from: The grey value, 0 to 255, from which on a pixel is lesion.
    """

    def __init__(self, port: int = 0) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0
        self.refused_calls: set[int] = set()
        self.pause_s = 0.0
        self.traceparents: list[str] = []
        self.on_call: Callable[[], None] = lambda: None
        self.spoil: Callable[[wire.PredictResponse], object] = lambda answer: None
        self.is_loaded, self.is_gone = True, False
        self.refuses: Callable[[int], grpc.StatusCode | None] = lambda slices: None
        self.lesion_from = 200
        self._count = threading.Lock()
        self._pool = ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "tensorflow.serving.PredictionService",
                    {"Predict": _unary(self._predict, wire.PredictRequest, wire.PredictResponse)},
                ),
                grpc.method_handlers_generic_handler(
                    "tensorflow.serving.ModelService",
                    {
                        "GetModelStatus": _unary(
                            self._status, wire.GetModelStatusRequest, wire.GetModelStatusResponse
                        )
                    },
                ),
            )
        )
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.gate.set()
        self._server.stop(None).wait()
        self._pool.shutdown()

    def _predict(self, request: wire.PredictRequest, context: grpc.ServicerContext) -> wire.PredictResponse:
        with self._count:
            self.calls += 1
            self.traceparents += [value for name, value in context.invocation_metadata() if name == "traceparent"]
            refused = self.calls in self.refused_calls
        if refused:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        if not self.is_loaded or self.is_gone:
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
        self.on_call()
        self.gate.wait(60)
        threading.Event().wait(self.pause_s)
        slices = request.inputs["slices"]
        shape = [dim.size for dim in slices.tensor_shape.dim]
        if (status := self.refuses(shape[0])) is not None:
            context.abort(status, "not now")
        pixels = np.frombuffer(slices.tensor_content, np.uint8).reshape(shape)
        probability = (pixels[..., 1:2] >= self.lesion_from).astype("<f4")
        dims = [wire.TensorShape.Dim(size=size) for size in probability.shape]
        answer = wire.Tensor(
            dtype=wire.DT_FLOAT,
            tensor_shape=wire.TensorShape(dim=dims),
            tensor_content=probability.tobytes(),
        )
        reply = wire.PredictResponse(outputs={"probability": answer}, model_spec=request.model_spec)
        self.spoil(reply)
        return reply

    def _status(
        self, request: wire.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> wire.GetModelStatusResponse:
        states = wire.ModelVersionStatus.State
        state = states.END if self.is_gone else states.AVAILABLE if self.is_loaded else states.LOADING
        status = wire.ModelVersionStatus(version=1, state=state)
        return wire.GetModelStatusResponse(model_version_status=[status])


def _unary(behaviour, request, response):
    return grpc.unary_unary_rpc_method_handler(
        behaviour, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
