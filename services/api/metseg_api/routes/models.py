"""The models: their cards, and whether TF Serving offers them."""

import logging
from enum import StrEnum

from fastapi import APIRouter
from pydantic import BaseModel, Field

from metseg.errors import CardError, ServingError, ServingUnavailableError, UnknownModelError
from metseg.models.ensemble import FEWEST_MEMBERS, RULE_VERSION, ensemble_card, version_of
from metseg.schemas.job import DEFAULT_MODEL, ENSEMBLE, ModelVersion
from metseg.schemas.model_card import ModelCard
from metseg_api.backends import Backends, BackendsOf
from metseg_api.openapi.document import CALLER_PROBLEMS, answer, links, problems
from metseg_api.openapi.examples import MODELS
from metseg_api.routes.dependencies import CallerOf

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
    members: list[ModelVersion] = Field(
        default=[], description="Of the model `ensemble`: those whose probabilities it averages."
    )
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
    """Each model's card: intended use, limits, training data, scores with their intervals.

    Where there are several models, the last one is `ensemble`, which is all of them together.
    """
    reachable = _served(backends, DEFAULT_MODEL) is not None
    names = backends.models.names()
    entries = [entry for name in names if (entry := _entry(backends, name, reachable)) is not None]
    if len(entries) == len(names) >= FEWEST_MEMBERS:
        entries.append(_ensemble(entries))
    return ModelList(serving_reachable=reachable, items=entries)


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


def _ensemble(members: list[ModelEntry]) -> ModelEntry:
    """All models together; served while each of them is."""
    states = [member.state for member in members]
    served = all(member.served for member in members)
    return ModelEntry(
        name=ENSEMBLE,
        default=False,
        served=served,
        state=next((state for state in states if state is not ModelState.AVAILABLE), ModelState.AVAILABLE),
        served_versions=[RULE_VERSION] if served else [],
        stable=RULE_VERSION if served else None,
        card=ensemble_card([member.card for member in members]),
        members=[version_of(member.card) for member in members],
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
