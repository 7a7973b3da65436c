"""The models: their cards, and whether TF Serving offers them."""

import logging
from enum import StrEnum

from fastapi import APIRouter
from pydantic import BaseModel, Field

from metseg.card import ModelCard
from metseg.errors import CardError, ServingError, ServingUnavailableError, UnknownModelError
from metseg.jobs import DEFAULT_MODEL
from metseg_api.backends import Backends, BackendsOf
from metseg_api.callers import CallerOf
from metseg_api.examples import MODELS
from metseg_api.openapi import CALLER_PROBLEMS, answer, links, problems

router = APIRouter(tags=["models"])

_log = logging.getLogger(__name__)


class ModelState(StrEnum):
    """What TF Serving says of a model."""

    AVAILABLE = "available"
    NOT_LOADED = "not_loaded"
    UNKNOWN = "unknown"


class ModelEntry(BaseModel):
    """A model that can be asked for by its name."""

    name: str
    default: bool = Field(description="Whether a job without `model` takes it.")
    served: bool = Field(description="Whether a job would be accepted now.")
    state: ModelState = Field(description="`unknown` while TF Serving does not answer.")
    served_versions: list[int] = Field(description="Newest first.")
    stable: int | None = Field(
        default=None,
        description="What a new job takes: the promoted version, else the newest; null while it cannot.",
    )
    canary: int | None = Field(default=None, description="What a share of the new jobs takes instead.")
    card: ModelCard = Field(description="Of the version that a new job takes, else of the newest.")


class ModelList(BaseModel):
    """All models."""

    serving_reachable: bool = Field(description="False while TF Serving does not answer: the cards still stand.")
    items: list[ModelEntry]


@router.get(
    "/v1/models",
    response_model=ModelList,
    operation_id="list_models",
    summary="List the models",
    responses=problems(*CALLER_PROBLEMS)
    | {200: answer("All models, and whether each is served.", MODELS, links=links("submit_job"))},
)
def list_models(backends: BackendsOf, _caller: CallerOf) -> ModelList:
    """Each model's card: intended use, limits, training data, scores with their intervals."""
    reachable = _served(backends, DEFAULT_MODEL) is not None
    entries = (_entry(backends, name, reachable) for name in backends.models.names())
    return ModelList(serving_reachable=reachable, items=[entry for entry in entries if entry is not None])


def _entry(backends: Backends, name: str, reachable: bool) -> ModelEntry | None:
    versions = _served(backends, name) if reachable else None
    try:
        labels = backends.choice.labels(name)
        promoted = max(versions or [], default=None) if labels is None else labels.stable
        stable = promoted if promoted in (versions or []) else None
        card = backends.models.card(name, stable)
    except (CardError, UnknownModelError, ServingUnavailableError) as exc:
        _log.error("a model has no usable card, or no labels that can be read", extra={"code": exc.code})
        return None
    state = ModelState.AVAILABLE if versions else ModelState.NOT_LOADED
    return ModelEntry(
        name=name,
        default=name == DEFAULT_MODEL,
        served=stable is not None,
        state=ModelState.UNKNOWN if versions is None else state,
        served_versions=versions or [],
        stable=stable,
        canary=labels.canary if labels is not None and labels.canary in (versions or []) else None,
        card=card,
    )


def _served(backends: Backends, name: str) -> list[int] | None:
    """Versions that TF Serving offers and that have a card; None where it does not answer."""
    known = backends.models.versions(name)
    try:
        available = backends.serving.available_versions(name)
    except UnknownModelError:
        return []
    except ServingError:
        return None
    return [version for version in available if version in known]
