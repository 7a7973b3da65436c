"""Dependencies of the routes: the caller behind a key or token, its own jobs, and its entries in the audit log."""

import logging
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from metseg.errors import JobNotFoundError
from metseg.schemas.job import is_job_id
from metseg_api.auth.api_keys import KEY_PREFIX, Scope
from metseg_api.auth.caller import AuditLogger, Caller
from metseg_api.backends import Backends, backends_of
from metseg_api.errors import KeyRequiredError, ScopeMissingError
from metseg_api.openapi.examples import JOB_ID

_bearer = HTTPBearer(
    auto_error=False, description="A key made by `metseg-api keys create`, or a token of the issuer that is named."
)
_log = logging.getLogger(__name__)


async def _caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    backends = backends_of(request)  # rather than as a dependency, which is resolved wherever it is named
    caller = Caller()
    if backends.keys is not None:
        if credentials is None:
            raise KeyRequiredError(
                "Send an API key, or a token where they are taken: Authorization: Bearer <key>."
            )
        caller = await run_sync(_admitted, request, backends, credentials.credentials)
    request.state.caller = caller
    return caller


def _admitted(request: Request, backends: Backends, presented: str) -> Caller:
    """Whose key or token was presented, if it may ask once more; the request's log line names it in any case."""
    key_id, owner, scopes = _identified(backends, presented)
    request.state.key_id = key_id
    backends.admission.check_rate(key_id)
    return Caller(key_id, owner, scopes)


def _identified(backends: Backends, presented: str) -> tuple[str, str, frozenset[Scope]]:
    """The id, the owner and the scopes of the key or token that was presented.

    Raises:
        KeyRequiredError: It is none that counts.
        IssuerUnavailableError: That cannot be told now.
    """
    if backends.tokens is not None and not presented.startswith(KEY_PREFIX):
        holder = backends.tokens.read(presented)
        return holder.owner, holder.owner, holder.scopes
    key = backends.keys.find(presented) if backends.keys is not None else None
    if key is None:
        raise KeyRequiredError("The API key is not known, or was revoked.")
    return key.id, key.owner, frozenset(key.scopes)


CallerOf = Annotated[Caller, Depends(_caller)]


def needs(scope: Scope) -> Any:
    """A route's dependency: the caller's key or token must have that scope, or be an administrator's.

    Raises:
        KeyRequiredError: Neither came, or none that counts (when a request comes).
        ScopeMissingError: It is not good for this (likewise).
    """

    async def check(caller: CallerOf) -> None:
        if scope not in caller.scopes and not caller.is_admin:
            raise ScopeMissingError(f"This needs a key or token with the scope {scope.value}.")

    return Depends(check)


async def _own_job(
    request: Request,
    job_id: Annotated[
        str,
        Path(
            description="The id that `POST /v1/jobs` answered.",
            examples=[JOB_ID],
            json_schema_extra={"format": "uuid"},
        ),
    ],
) -> str:
    """The job id of a path; what has not the form of one, or is another's, never gets further.

    For routes behind `needs`, which has found out who asks; a route without it would fail on its first request.

    Raises:
        JobNotFoundError: It cannot be an id, or is that of a job which does not exist for the caller.
    """
    if not is_job_id(job_id):
        raise JobNotFoundError("There is no job of that id.")
    caller: Caller = request.state.caller
    if not caller.is_admin and not caller.may_see(await run_sync(backends_of(request).known.owner, job_id)):
        _log.warning("asked for another's job", extra={"job_id": job_id, "key_id": caller.key_id})
        raise JobNotFoundError("There is no job of that id.")
    return job_id


OwnJobId = Annotated[str, Depends(_own_job)]


async def _audit_logger(request: Request, caller: CallerOf) -> AuditLogger:
    return AuditLogger(backends_of(request).audit, caller, request.state.request_id)


AuditLoggerOf = Annotated[AuditLogger, Depends(_audit_logger)]
