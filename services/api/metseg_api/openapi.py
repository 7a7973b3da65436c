"""What the OpenAPI document says beyond the signatures: errors, links, and the form that is read by hand."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from metseg import errors
from metseg.jobs import DEFAULT_MODEL, RESEARCH_USE_ONLY, SERIES_UID
from metseg_api import errors as refusals
from metseg_api.examples import IDEMPOTENCY_KEY
from metseg_api.form import MAX_FILES
from metseg_api.problems import KINDS, MEDIA_TYPE, Problem, example_of

Responses = dict[int | str, dict[str, Any]]

DESCRIPTION = f"""
Send an MRI scan (DICOM, NIfTI, a zip file of either, or a single slice as PNG, JPEG or TIFF), get back a mask of
the brain metastases and their measurements.

A scan becomes a **job**: `POST /v1/jobs` answers `202` once the upload is safely stored and queued. Ask
`GET /v1/jobs/{{id}}` (with `Prefer: wait=30` to be told of changes at once) until the state is `succeeded`,
`failed` or `cancelled`, then take the artefacts from `GET /v1/jobs/{{id}}/result`. A state never moves backwards.

Errors are `application/problem+json` (RFC 9457) with a stable `code`.

**{RESEARCH_USE_ONLY}**
""".strip()

TAGS = [
    {"name": "jobs", "description": "Send scans, follow jobs, end them."},
    {"name": "results", "description": "Take away what a job made."},
    {"name": "models", "description": "Which networks there are, and how good."},
    {"name": "service", "description": "Whether the service is well, and which version it is."},
]

UPLOAD_FORM = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A name for this very upload, best a UUID: sent again with the same key and the same "
            "parts it is answered with the job that is there already. Forgotten with the job.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            "example": IDEMPOTENCY_KEY,
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {
                                "type": "string",
                                "contentMediaType": "application/octet-stream",
                                "minLength": 1,
                            },
                            "minItems": 1,
                            "maxItems": MAX_FILES,
                            "description": "The scan: one file, or a part for each image of a DICOM series. What "
                            "a file is, is found from its content; its name is ignored.",
                        },
                        "model": {
                            "type": "string",
                            "default": DEFAULT_MODEL,
                            "description": "See `GET /v1/models`.",
                        },
                        "threshold": {
                            "type": "number",
                            "exclusiveMinimum": 0,
                            "exclusiveMaximum": 1,
                            "description": "Probability from which a voxel is lesion. Default: the model card's.",
                        },
                        "spacing_mm": {
                            "type": "string",
                            "examples": ["0.9", "0.9,0.9"],
                            "description": "Pixel size of a picture: column and row distance, 0.01 to 20 mm. "
                            "Without it a picture is measured in pixels. A NIfTI brings its own.",
                        },
                        "series_uid": {
                            "type": "string",
                            "maxLength": 64,
                            "pattern": SERIES_UID,
                            "description": "SeriesInstanceUID of the DICOM series to segment, where several come.",
                        },
                        "priority": {
                            "type": "string",
                            "enum": ["urgent", "routine"],
                            "default": "routine",
                            "description": "Urgent jobs go before all routine ones that wait.",
                        },
                        "webhook_url": {
                            "type": "string",
                            "anyOf": [{"format": "uri"}, {"maxLength": 0}],
                            "maxLength": 2048,
                            "description": "An https address to call once the job has ended; see docs/api.md. "
                            "None where it is left empty.",
                        },
                    },
                },
                "encoding": {"file": {"contentType": "application/octet-stream"}},
                "examples": {
                    "volume": {"summary": "A volume", "value": {"file": ["the bytes of scan.nii.gz"]}},
                    "picture": {
                        "summary": "A slice of known pixel size, before all that waits",
                        "value": {
                            "file": ["the bytes of slice.png"],
                            "model": DEFAULT_MODEL,
                            "threshold": 0.5,
                            "spacing_mm": "0.9,0.9",
                            "priority": "urgent",
                        },
                    },
                },
            }
        },
    },
}


CALLER_PROBLEMS = (
    refusals.KeyRequiredError,
    refusals.TokenRefusedError,
    refusals.RateLimitedError,
    refusals.IssuerUnavailableError,
)
"""What whoever asks may be told where access is controlled."""
SCOPE_PROBLEMS = (*CALLER_PROBLEMS, refusals.ScopeMissingError)
STORE_PROBLEMS = (errors.StoreError, errors.BlobNotFoundError, errors.StoreUnavailableError)
JOB_PROBLEMS = (*SCOPE_PROBLEMS, *STORE_PROBLEMS, errors.JobNotFoundError, errors.JobGoneError)
"""What every question about one job may be answered with."""
SUBMIT_PROBLEMS = (
    *SCOPE_PROBLEMS,
    *STORE_PROBLEMS,
    errors.RequestError,
    errors.UnknownModelError,
    errors.EmptyInputError,
    errors.ServingError,
    errors.ServingUnavailableError,
    errors.ServingTimeoutError,
    errors.QueueUnavailableError,
    errors.CardError,
    refusals.FileMissingError,
    refusals.MultipartError,
    refusals.MediaTypeError,
    refusals.UploadTimeoutError,
    refusals.WebhookRefusedError,
    refusals.KeyReusedError,
    refusals.KeyInFlightError,
    refusals.QuotaError,
    refusals.QueueFullError,
    refusals.StoreFullError,
)
_ANY = (errors.MetsegError, refusals.UploadTooLargeError)

_LINKS = {
    "submit_job": "Send a scan.",
    "list_jobs": "All jobs.",
    "get_job": "How far the job is.",
    "follow_job": "Each change of the job as it happens.",
    "cancel_job": "End the job without a result.",
    "delete_job": "Erase the job with all its data.",
    "get_webhook": "What became of the job's webhook.",
    "get_result": "What the job made, once it has succeeded.",
    "get_artefact": "One file of the result.",
    "list_models": "The models that there are.",
    "get_readiness": "Whether a job would be accepted now.",
}


def problems(*classes: type[errors.MetsegError]) -> Responses:
    """The error answers of an operation: by status, with an example of each problem that may come.

    What every operation may answer need not be named.
    """
    documented: Responses = {}
    for cls in dict.fromkeys([*classes, *_ANY]):
        kind, example = KINDS[cls], example_of(cls)
        told = documented.setdefault(kind.status, _problem_answer(kind.status))
        content = told["content"][MEDIA_TYPE]
        content["examples"][example["code"]] = {"summary": kind.title, "value": example}
        told["description"] = "Problem: " + ", ".join(f"`{code}`" for code in content["examples"])
    return documented


def answer(
    description: str,
    example: object,
    *,
    others: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    links: Mapping[str, object] | None = None,
    media_type: str = "application/json",
) -> dict[str, Any]:
    """A documented good answer with its usual example, others by name, its headers and what can be asked next."""
    content: dict[str, Any] = {"example": example}
    if others:
        shown = {"usual": example} | dict(others)
        content = {"examples": {name: {"value": one} for name, one in shown.items()}}
    if media_type != "application/json":  # that of JSON comes from the model
        content["schema"] = {"type": "string"}
    return {
        "description": description,
        "content": {media_type: content},
        "headers": _headers(headers or {}),
        "links": dict(links or {}),
    }


def without_bodies(responses: Responses) -> Responses:
    """The same answers as HEAD gives them."""
    return {
        status: {name: part for name, part in told.items() if name != "content"}
        for status, told in responses.items()
    }


def links(*operations: str, **parameters: str) -> dict[str, object]:
    """Operations that make sense next, each with the same parameters, as runtime expressions of OpenAPI."""
    return {
        name: {"operationId": name, "description": _LINKS[name]}
        | ({"parameters": parameters} if parameters else {})
        for name in operations
    }


def _problem_answer(status: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
    }
    if header := _PROBLEM_HEADERS.get(HTTPStatus(status)):
        told["headers"] = _headers(header)
    return told


_RETRY = {"Retry-After": "Seconds after which asking again makes sense."}
_PROBLEM_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "How to show who asks."},
    HTTPStatus.CONFLICT: {"Retry-After": "Seconds after which the answer may be another; absent if never."},
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: {"Content-Range": "The size of the file: `bytes */<size>`."},
    HTTPStatus.TOO_MANY_REQUESTS: _RETRY,
    HTTPStatus.SERVICE_UNAVAILABLE: _RETRY,
}


def _headers(texts: Mapping[str, str]) -> dict[str, object]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()}


def install_openapi(app: FastAPI) -> None:
    """Let the application describe itself with the `Problem` schema among its components."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                webhooks=app.webhooks.routes,
                tags=app.openapi_tags,
                license_info=app.license_info,
            )
            template = "#/components/schemas/{model}"
            problem = Problem.model_json_schema(ref_template=template)
            schemas = document["components"]["schemas"]
            schemas.update(problem.pop("$defs", {}))
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            schemas["Problem"] = problem
            for path in (*document["paths"].values(), *document["webhooks"].values()):
                for operation in path.values():
                    _settle(operation)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # FastAPI's own way to extend the document


def _settle(operation: dict[str, Any]) -> None:
    """Correct what the framework says of an operation where it differs from what happens."""
    operation.setdefault("security", [])
    if "application/json" in operation["responses"].get("422", {}).get("content", {}):
        del operation["responses"]["422"]  # its own, of which this API has none
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        schemas = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]  # none can be sent as null
        schema.update(*schemas)
