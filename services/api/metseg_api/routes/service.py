"""The service itself: alive, ready, and of which version."""

import platform
from collections.abc import Callable
from importlib.metadata import version as package_version
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from metseg.errors import MetsegError
from metseg.schemas.job import DEFAULT_MODEL, RESEARCH_USE_ONLY, JobRecord, JobResult
from metseg.schemas.model_card import CARD_SCHEMA_VERSION
from metseg.schemas.report import Report
from metseg_api.backends import BackendsOf
from metseg_api.openapi.document import answer, links, problems
from metseg_api.openapi.examples import NOT_READY, READY, VERSION
from metseg_api.problem_details import RETRY_AFTER_S
from metseg_api.supervision import Supervisor, SupervisorOf

router = APIRouter(tags=["service"])

LOOP_DOWN = "loop_down"
PACKAGES = ("metseg", "metseg-api", "fastapi", "uvicorn", "pydantic")


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class PartState(BaseModel):
    """Whether one part is ready, and the error code if it is not."""

    ready: bool
    code: str | None = None


class Readiness(BaseModel):
    """Whether a job sent now would be accepted."""

    ready: bool
    parts: dict[str, PartState] = Field(
        description="`queue` (Redis), `store`, `model` (the default one in TF Serving), `loops` (the API's "
        "own background work)."
    )


class Version(BaseModel):
    """What runs here."""

    packages: dict[str, str]
    python: str
    schema_versions: dict[str, int] = Field(description="Of the stored and answered JSON documents.")
    research_use: str


@router.get(
    "/healthz",
    response_model=Health,
    operation_id="get_health",
    summary="Is the process alive?",
    responses=problems() | {200: answer("It is.", {"status": "ok"}, links=links("get_readiness"))},
)
async def get_health() -> Health:
    """Answers as long as the process lives; asks nothing behind it."""
    return Health()


@router.get(
    "/readyz",
    response_model=Readiness,
    operation_id="get_readiness",
    summary="Would a job be accepted now?",
    responses=problems()
    | {
        200: answer("It would.", READY, links=links("list_models")),
        503: answer(
            "Not ready; the parts tell why.",
            NOT_READY,
            headers={"Retry-After": "Seconds after which asking again makes sense."},
        )
        | {"model": Readiness},
    },
)
def get_readiness(backends: BackendsOf, supervisor: SupervisorOf, response: Response) -> Readiness:
    """Asks Redis, the store and TF Serving, and whether every background loop runs."""
    parts = {
        "queue": _state(backends.check_queue),
        "store": _state(backends.check_store),
        "model": _state(lambda: backends.choice.choose(DEFAULT_MODEL)),
        "loops": _loops_state(supervisor),
    }
    ready = all(part.ready for part in parts.values())
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return Readiness(ready=ready, parts=parts)


@router.get(
    "/v1/version",
    response_model=Version,
    operation_id="get_version",
    summary="Versions",
    responses=problems() | {200: answer("What runs here.", VERSION, links=links("list_models"))},
)
async def get_version() -> Version:
    """Versions of the packages and of the JSON schemas."""
    schemas: dict[str, type[BaseModel]] = {"job": JobRecord, "final": JobResult, "report": Report}
    return Version(
        packages={name: package_version(name) for name in PACKAGES},
        python=platform.python_version(),
        schema_versions={name: schema.model_fields["schema_version"].default for name, schema in schemas.items()}
        | {"card": CARD_SCHEMA_VERSION},
        research_use=RESEARCH_USE_ONLY,
    )


def _loops_state(supervisor: Supervisor) -> PartState:
    return PartState(ready=False, code=LOOP_DOWN) if supervisor.down() else PartState(ready=True)


def _state(check: Callable[[], object]) -> PartState:
    try:
        check()
    except MetsegError as exc:
        return PartState(ready=False, code=exc.code)
    return PartState(ready=True)
