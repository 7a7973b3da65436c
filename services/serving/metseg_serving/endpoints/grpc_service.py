"""The gRPC port: PredictionService and ModelService on their real definitions."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigResponse
from tensorflow_serving.apis.predict_pb2 import PredictResponse

from metseg_serving import tensors
from metseg_serving.config import listed_models
from metseg_serving.endpoints import calls
from metseg_serving.metrics import Entrypoint
from metseg_serving.models.library import ServedModels
from metseg_serving.models.versions import ModelSpec
from metseg_serving.refusal import Refusal, invalid
from metseg_serving.rules import ServerRules

Context = grpc.aio.ServicerContext[Any, Any]


def register(server: grpc.aio.Server, models: ServedModels, rules: ServerRules) -> None:
    """Offer the models on a server that has not started yet; the caller starts it."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models, as_content=rules.as_content), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models, rules.models), server)


async def _unimplemented(_self: Any, _request: Any, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "metseg-serving does not offer this call")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]  # no types
    """Predict and GetModelMetadata."""

    Classify = Regress = MultiInference = _unimplemented

    def __init__(self, models: ServedModels, *, as_content: bool) -> None:
        self._models = models
        self._as_content = as_content

    async def Predict(self, request: Any, context: Context) -> Any:
        """Outputs for the inputs of a PredictRequest."""
        name = request.model_spec.signature_name or calls.DEFAULT_SIGNATURE
        figures = self._models.figures
        try:
            with (
                figures.request(request.model_spec.name, Entrypoint.GRPC),
                self._models.hold(_spec(request)) as version,
            ):
                inputs = {alias: tensors.decode(alias, tensor) for alias, tensor in request.inputs.items()}
                outputs = await calls.predict(version, name, inputs, list(request.output_filter))
        except Refusal as exc:
            await context.abort(exc.code, exc.message)
        response = PredictResponse()
        response.model_spec.name = version.model
        response.model_spec.version.value = version.number
        response.model_spec.signature_name = name
        for alias, array in outputs.items():
            response.outputs[alias].CopyFrom(tensors.encode(array, as_content=self._as_content))
        return response

    async def GetModelMetadata(self, request: Any, context: Context) -> Any:
        """Signatures of a model."""
        return await _answer(
            context, lambda: calls.model_metadata(self._models, _spec(request), list(request.metadata_field))
        )


class ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]  # no types
    """GetModelStatus and HandleReloadConfigRequest.

    Args:
        models: What is served.
        folder: Stands for `/models` in a new configuration.
    """

    def __init__(self, models: ServedModels, folder: Path) -> None:
        self._models = models
        self._folder = folder

    async def GetModelStatus(self, request: Any, context: Context) -> Any:
        """States of the versions of a model."""
        return await _answer(context, lambda: calls.model_status(self._models, _spec(request)))

    async def HandleReloadConfigRequest(self, request: Any, context: Context) -> Any:
        """Serve what a ReloadConfigRequest lists; goes on when the caller gives up, as the real server does."""
        try:
            sources = listed_models(request.config, self._folder)
            await asyncio.shield(self._models.reload(sources))
        except Refusal as exc:
            await context.abort(exc.code, exc.message)
        return ReloadConfigResponse()


async def _answer(context: Context, answer: Callable[[], Any]) -> Any:
    try:
        return answer()
    except Refusal as exc:
        await context.abort(exc.code, exc.message)


def _spec(request: Any) -> ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    return ModelSpec(
        spec.name,
        spec.version.value if choice == "version" else None,
        spec.version_label if choice == "version_label" else None,
    )
