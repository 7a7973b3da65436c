"""Which version of a model a job gets: the newest, once there are labels the `stable` one, or the canary."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from metseg.errors import ServingUnavailableError, UnknownModelError
from metseg.models.ensemble import FEWEST_MEMBERS, ensemble_ref
from metseg.models.library import ModelLibrary
from metseg.schemas.job import ENSEMBLE, ModelRef, ModelVersion
from metseg.serving.client import ServingClient
from metseg_api.rollout.errors import RolloutError
from metseg_api.rollout.serving_config import Labels, current_labels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """The version a job gets, and the stable one that it is compared with if that is the canary."""

    model: ModelRef
    compared_with: ModelRef | None = None


@dataclass(frozen=True)
class ModelChoice:
    """Chooses among the versions that have a card here and are AVAILABLE in TF Serving.

    Args:
        folder: The folder of the models.
        serving: The connection to TF Serving.
        canary_share: How much of the jobs the canary gets, 0 to 1.
        compared_share: How much of these are compared with the stable version, 0 to 1.
    """

    folder: Path
    serving: ServingClient
    canary_share: float
    compared_share: float

    def choose(self, name: str, job_id: str | None = None) -> Chosen:
        """The version for a job; without a job the one that most jobs get.

        The same job always falls to the same side of the share. A canary that cannot answer gets no job. The
        ensemble is made of what most jobs get of each model.

        Raises:
            UnknownModelError: There is no card of that name, or too few models for an ensemble.
            ServingUnavailableError: TF Serving is down or has not loaded the version, or a member's.
            CardError: A card is damaged.
        """
        library = ModelLibrary(self.folder)
        if name == ENSEMBLE:
            return Chosen(ensemble_ref([self._member(one) for one in _members(library)]))
        if name not in library.names():
            raise UnknownModelError("There is no model of that name; GET /v1/models lists them.")
        usable = self._usable(library, name)
        labels = self.labels(name)
        version = max(usable, default=None) if labels is None else labels.stable
        if version is None or version not in usable:
            raise ServingUnavailableError("TF Serving has not loaded the version of this model that jobs get.")
        canary = None if labels is None else labels.canary
        if canary is not None and job_id is not None and is_in_share(job_id, self.canary_share):
            if canary in usable:
                is_compared = is_in_share(f"compared {job_id}", self.compared_share)
                return Chosen(_ref(library, name, canary), _ref(library, name, version) if is_compared else None)
            logger.warning("the canary cannot answer", extra={"model": name, "version": canary})
        return Chosen(_ref(library, name, version))

    def labels(self, name: str) -> Labels | None:
        """The labels of a model; None where none were ever given.

        Raises:
            ServingUnavailableError: The file that holds them is damaged.
        """
        try:
            return current_labels(self.folder, name)
        except RolloutError as exc:
            raise ServingUnavailableError("The file with the labels of the models is damaged.") from exc

    def _member(self, name: str) -> ModelVersion:
        try:
            chosen = self.choose(name).model
        except ServingUnavailableError:
            logger.warning("a member of the ensemble cannot answer", extra={"model": name})
            raise
        return ModelVersion(name=chosen.name, version=chosen.version, digest=chosen.digest)

    def _usable(self, library: ModelLibrary, name: str) -> set[int]:
        try:
            available = self.serving.available_versions(name)
        except UnknownModelError as exc:
            raise ServingUnavailableError("TF Serving does not serve this model.") from exc
        return set(available) & set(library.versions(name))


def _members(library: ModelLibrary) -> list[str]:
    names = library.names()
    if len(names) < FEWEST_MEMBERS:
        raise UnknownModelError(f"The ensemble needs {FEWEST_MEMBERS} models at least, and there are fewer.")
    return names


def _ref(library: ModelLibrary, name: str, version: int) -> ModelRef:
    return ModelRef(name=name, version=version, digest=library.card(name, version).digest)


def is_in_share(name: str, share: float) -> bool:
    """Whether a job is among a share of all jobs, by its id alone, whose order in time plays no part."""
    drawn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return drawn < share * 2**64
