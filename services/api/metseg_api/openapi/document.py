"""What the OpenAPI document says beyond the signatures: errors and links."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from metseg import errors
from metseg.jobs import previous_errors
from metseg.schemas.job import RESEARCH_USE_ONLY
from metseg_api import errors as refusals
from metseg_api.problem_details import KINDS, MEDIA_TYPE, Problem, example_of

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

CALLER_PROBLEMS = (
    refusals.KeyRequiredError,
    refusals.TokenRefusedError,
    refusals.RateLimitedError,
    refusals.IssuerUnavailableError,
)
"""Problems that any request may meet where access is controlled."""
SCOPE_PROBLEMS = (*CALLER_PROBLEMS, refusals.ScopeMissingError)
CHANGE_PROBLEMS = (*SCOPE_PROBLEMS, refusals.OriginRefusedError)
"""Likewise where something is changed."""
STORE_PROBLEMS = (errors.StoreError, errors.BlobNotFoundError, errors.StoreUnavailableError)
JOB_PROBLEMS = (*SCOPE_PROBLEMS, *STORE_PROBLEMS, errors.JobNotFoundError, errors.JobGoneError)
"""What every question about one job may be answered with."""
SUBMIT_PROBLEMS = (
    *CHANGE_PROBLEMS,
    *STORE_PROBLEMS,
    errors.RequestError,
    errors.UnknownModelError,
    previous_errors.PreviousUnknownError,
    previous_errors.PreviousGoneError,
    previous_errors.PreviousUnfinishedError,
    previous_errors.NotVolumeError,
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
    refusals.TooManyUploadsError,
)
_ANY = (
    errors.MetsegError,
    refusals.UploadTooLargeError,
    refusals.AmbiguousRequestError,
    refusals.HostRefusedError,
)

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
