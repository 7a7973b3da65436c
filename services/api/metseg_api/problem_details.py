"""Errors on the wire: one table from class to status, problem+json (RFC 9457) for every answer.

Below 500 the detail is the exception's own sentence, which by `metseg.errors` holds no patient data. From 500
on it is the table's: what a store or a server said in its distress stays inside.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from metseg import errors
from metseg.jobs.previous_errors import (
    NotVolumeError,
    PreviousGoneError,
    PreviousUnfinishedError,
    PreviousUnknownError,
)
from metseg.schemas.job import Failure, JobState
from metseg_api.errors import (
    AmbiguousRequestError,
    ArtefactNotFoundError,
    FileMissingError,
    HostRefusedError,
    IssuerUnavailableError,
    KeyInFlightError,
    KeyRequiredError,
    KeyReusedError,
    MediaTypeError,
    MultipartError,
    OriginRefusedError,
    QueueFullError,
    QuotaError,
    RangeError,
    RateLimitedError,
    ResultNotReadyError,
    RetryLaterError,
    ScopeMissingError,
    StoreFullError,
    TokenRefusedError,
    TooManyFollowersError,
    TooManyUploadsError,
    UploadTimeoutError,
    UploadTooLargeError,
    WebhookNotFoundError,
    WebhookRefusedError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """How one class of errors looks on the wire; `detail` stands in where the exception's text stays inside."""

    status: int
    title: str
    detail: str = ""


_RETRY = "Nothing was kept of the request; try again later."

KINDS: Mapping[type[errors.MetsegError], Kind] = {
    errors.MetsegError: Kind(500, "Internal error", "Something failed inside metseg; the log has the request id."),
    errors.EmptyInputError: Kind(422, "Empty file"),
    errors.RequestError: Kind(422, "Invalid request"),
    errors.UnknownModelError: Kind(422, "Unknown model"),
    PreviousUnknownError: Kind(422, "No such earlier job"),
    PreviousGoneError: Kind(422, "Earlier job gone"),
    PreviousUnfinishedError: Kind(422, "Earlier job without result"),
    NotVolumeError: Kind(422, "The prior is not a volume"),
    FileMissingError: Kind(422, "No file"),
    UploadTooLargeError: Kind(413, "Upload too large"),
    UploadTimeoutError: Kind(408, "The upload timed out"),
    MultipartError: Kind(400, "Malformed multipart body"),
    MediaTypeError: Kind(415, "Unsupported media type"),
    AmbiguousRequestError: Kind(400, "Ambiguous request"),
    HostRefusedError: Kind(421, "Host refused"),
    OriginRefusedError: Kind(403, "Origin refused"),
    KeyRequiredError: Kind(401, "API key required"),
    TokenRefusedError: Kind(401, "Token refused"),
    ScopeMissingError: Kind(403, "Scope missing"),
    WebhookRefusedError: Kind(422, "Webhook refused"),
    KeyReusedError: Kind(422, "Idempotency key reused"),
    KeyInFlightError: Kind(409, "Idempotency key in flight"),
    RateLimitedError: Kind(429, "Too many requests"),
    QuotaError: Kind(429, "Quota exceeded"),
    QueueFullError: Kind(503, "Queue full", f"The queue is full. {_RETRY}"),
    StoreFullError: Kind(503, "Store full", f"The store has too little room for the upload. {_RETRY}"),
    RangeError: Kind(416, "Range not satisfiable"),
    errors.ServingError: Kind(502, "Serving failed", "The model server answered with an error."),
    errors.ServingUnavailableError: Kind(503, "Serving unavailable", f"No server offers this model now. {_RETRY}"),
    errors.ServingTimeoutError: Kind(
        503, "Serving timed out", f"The model server did not answer in time. {_RETRY}"
    ),
    errors.StoreError: Kind(500, "Store failed", "The store could not hand out what it should hold."),
    errors.BlobNotFoundError: Kind(500, "Stored file missing", "A file that belongs to the job is missing."),
    errors.StoreUnavailableError: Kind(503, "Store unavailable", f"The store cannot be used now. {_RETRY}"),
    errors.QueueUnavailableError: Kind(503, "Queue unavailable", f"The queue cannot be reached now. {_RETRY}"),
    TooManyUploadsError: Kind(503, "Too many uploads", f"Too many uploads are under way now. {_RETRY}"),
    TooManyFollowersError: Kind(
        503, "Too many followers", "Too many requests follow jobs now; poll, or come later."
    ),
    IssuerUnavailableError: Kind(
        503, "Issuer unavailable", f"The issuer of the token cannot be asked for its keys now. {_RETRY}"
    ),
    errors.CardError: Kind(500, "Damaged model card", "The card of this model cannot be read."),
    errors.JobNotFoundError: Kind(404, "No such job"),
    errors.JobGoneError: Kind(410, "Job gone"),
    errors.JobStateError: Kind(409, "Not in this state"),
    ArtefactNotFoundError: Kind(404, "No such artefact"),
    WebhookNotFoundError: Kind(404, "No webhook"),
}

# What the framework itself refuses: status -> code.
HTTP_CODES: Mapping[int, str] = {404: "route_not_found", 405: "method_not_allowed", 413: "upload_too_large"}
INTERNAL_CODE = "internal_error"
EXAMPLE_ID = "urn:uuid:7a1b6c1e-0d3c-4c5e-9f6a-2f1f3c9d7e55"


class FieldProblem(BaseModel):
    """One parameter that was refused."""

    field: str = Field(description="Where it stands, such as `query.limit`.")
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:metseg:problem:<code with dashes>`; stable.")
    title: str
    status: int
    detail: str = Field(description="One sentence for people. Its wording may change; `code` does not.")
    instance: str = Field(description="`urn:uuid:<request id>`, the same as in `X-Request-ID`.")
    code: str = Field(description="Stable; see the table in docs/api.md.")
    errors: list[FieldProblem] | None = Field(default=None, description="Each refused parameter.")
    state: JobState | None = Field(default=None, description="Of a job whose state forbids the request.")
    error: Failure | None = Field(default=None, description="Why that job failed.")


def problem_type(code: str) -> str:
    """The `type` of a problem."""
    return f"urn:metseg:problem:{code.replace('_', '-')}"


def example_of(cls: type[errors.MetsegError]) -> dict[str, Any]:
    """A problem of that class as it looks on the wire."""
    kind = KINDS[cls]
    code = INTERNAL_CODE if cls is errors.MetsegError else cls.code
    told = kind.detail or _sentence((cls.__doc__ or kind.title).partition("\n")[0])
    problem = Problem(
        type=problem_type(code), title=kind.title, status=kind.status, detail=told, instance=EXAMPLE_ID, code=code
    )
    return problem.model_dump(mode="json", exclude_none=True)


def kind_of(exc: errors.MetsegError) -> Kind:
    """The table's row for the nearest class of an error."""
    return next(KINDS[cls] for cls in type(exc).__mro__ if cls in KINDS)


def problem_response(
    request: Request, *, kind: Kind, code: str, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """A problem+json answer; `members` are the optional members of `Problem`."""
    problem = Problem(
        type=problem_type(code),
        title=kind.title,
        status=kind.status,
        detail=kind.detail,
        instance=f"urn:uuid:{request.state.request_id}",
        code=code,
        **members,
    )
    sent = dict(headers or {})
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        sent.setdefault("Retry-After", str(RETRY_AFTER_S))
    return JSONResponse(
        problem.model_dump(mode="json", exclude_none=True), kind.status, headers=sent, media_type=MEDIA_TYPE
    )


def internal_error(request: Request) -> JSONResponse:
    """The neutral 500, for what nobody foresaw."""
    return problem_response(request, kind=KINDS[errors.MetsegError], code=INTERNAL_CODE)


def error_response(request: Request, error: errors.MetsegError) -> JSONResponse:
    """The problem that an error of metseg is on the wire."""
    kind = kind_of(error)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        fields = {"request_id": request.state.request_id, "code": error.code, "error": type(error).__name__}
        _log.error("request failed", extra=fields)
    else:
        kind = Kind(kind.status, kind.title, _sentence(str(error)))
    members: dict[str, Any] = {}
    if isinstance(error, ResultNotReadyError):
        members = {"state": error.state, "error": error.failure}
    return problem_response(request, kind=kind, code=error.code, headers=_headers(error), **members)


def _on_metseg_error(request: Request, exc: Exception) -> JSONResponse:
    return error_response(request, cast(errors.MetsegError, exc))


def _headers(error: errors.MetsegError) -> dict[str, str]:
    if isinstance(error, RetryLaterError):
        return {"Retry-After": str(max(math.ceil(error.retry_after_s), 1))}
    if isinstance(error, ResultNotReadyError) and not error.state.is_final:
        return {"Retry-After": "1"}
    if isinstance(error, TokenRefusedError):
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # RFC 6750, section 3.1
    if isinstance(error, KeyRequiredError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, AmbiguousRequestError):
        return {"Connection": "close"}  # what follows on the line may be a part of it
    if isinstance(error, RangeError):
        return {"Content-Range": f"bytes */{error.size_bytes}"}
    return {}


def _on_validation_error(request: Request, exc: Exception) -> JSONResponse:
    refused = [
        FieldProblem(field=".".join(str(part) for part in one["loc"]), message=one["msg"])
        for one in cast(RequestValidationError, exc).errors()
    ]
    kind = Kind(422, KINDS[errors.RequestError].title, "A parameter is not what the API documents.")
    return problem_response(request, kind=kind, code=errors.RequestError.code, errors=refused)


def _on_http_error(request: Request, exc: Exception) -> JSONResponse:
    error = cast(HTTPException, exc)
    title = HTTPStatus(error.status_code).phrase
    kind = Kind(error.status_code, title, f"{title}.")
    code = HTTP_CODES.get(error.status_code, "http_error")
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(_methods_of(request))}
    return problem_response(request, kind=kind, code=code, headers=headers)


def _methods_of(request: Request) -> list[str]:
    """What may be done at the address: each of its methods is a route of its own, and the router names but one."""
    routes = iter_route_contexts(request.app.routes)
    other = [route for route in routes if route.matches(request.scope)[0] is Match.PARTIAL]
    return sorted({method for route in other for method in route.methods or ()})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def install_error_handlers(app: FastAPI) -> None:
    """Let every error leave as a problem; what is caught by none of these, `edge` answers with the neutral 500."""
    app.add_exception_handler(errors.MetsegError, _on_metseg_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
