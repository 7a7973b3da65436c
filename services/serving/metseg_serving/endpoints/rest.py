"""The REST port: status, metadata and predict, answered as the real server answers them."""

import asyncio
import re
from typing import Any, Final

import grpc
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

from metseg_serving import metrics
from metseg_serving.endpoints import calls, json_tensors
from metseg_serving.models.library import ServedModels
from metseg_serving.models.versions import ModelSpec
from metseg_serving.refusal import Refusal, invalid

HTTP_STATUS: Final = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
_MODEL: Final = r"([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_PREDICT: Final = re.compile(rf"/v1/models/{_MODEL}:(classify|regress|predict)", re.IGNORECASE)
_STATUS: Final = re.compile(rf"/v1/models(?:/{_MODEL})?(?:/(metadata))?", re.IGNORECASE)
_LARGEST_VERSION: Final = 2**63 - 1


def create_app(models: ServedModels, metrics_path: str | None) -> Starlette:
    """The application behind the REST port, with the page for Prometheus where it has a path."""

    async def answer(request: Request) -> Response:
        path = request.url.path
        if path == metrics_path:
            return Response(models.figures.page(), media_type=metrics.MEDIA_TYPE)
        if not path.lower().startswith("/v1/"):
            return PlainTextResponse("Not Found", 404)
        try:
            if request.method == "POST" and (found := _PREDICT.fullmatch(path)):
                return await _predict(models, found, await request.body())
            if request.method == "GET" and (found := _STATUS.fullmatch(path)):
                return JSONResponse(_describe(models, found))
            raise invalid(f"Malformed request: {request.method} {path}")
        except Refusal as exc:
            return JSONResponse({"error": exc.message}, HTTP_STATUS.get(exc.code.name, 500))

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


async def _predict(models: ServedModels, found: re.Match[str], body: bytes) -> Response:
    if found[4].lower() != "predict":
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"metseg-serving does not offer {found[4].lower()}")
    with models.figures.request(found[1], metrics.Entrypoint.REST):
        document = await asyncio.to_thread(json_tensors.parse, body)
        name = document.get("signature_name") or calls.DEFAULT_SIGNATURE
        with models.hold(_spec(found)) as version:
            signature = version.servable.signatures.get(name)
            if signature is None or not signature.inputs:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            inputs, row_form = await asyncio.to_thread(json_tensors.read_inputs, document, signature)
            outputs = await calls.predict(version, name, inputs)
        content = await asyncio.to_thread(json_tensors.write_outputs, outputs, row_form=row_form)
    return Response(content, media_type="application/json")


def _describe(models: ServedModels, found: re.Match[str]) -> dict[str, Any]:
    if not found[1]:
        raise invalid("Missing model name in request.")
    spec = _spec(found)
    if not found[4]:
        return _to_dict(calls.model_status(models, spec))
    response = calls.model_metadata(models, spec, [calls.SIGNATURE_FIELD])
    signatures = SignatureDefMap()
    response.metadata[calls.SIGNATURE_FIELD].Unpack(signatures)
    return {
        "model_spec": _to_dict(response.model_spec),
        "metadata": {calls.SIGNATURE_FIELD: _to_dict(signatures)},
    }


def _spec(found: re.Match[str]) -> ModelSpec:
    name, version, label = found[1], found[2], found[3]
    if version is not None and int(version) > _LARGEST_VERSION:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return ModelSpec(name, None if version is None else int(version), label)


def _to_dict(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    return fields
