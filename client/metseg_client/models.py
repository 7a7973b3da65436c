"""Answers of the API that are no job: pages, manifests and the list of models."""

from metseg.schemas.job import Artefact, Job, ModelVersion, Schema
from metseg.schemas.model_card import ModelCard


class ServedModel(Schema):
    """A model that a job can ask for.

    Attributes:
        card: What it is.
        served: Whether a job for it would be accepted now.
        default: Whether jobs take it unless they say otherwise.
        members: Of the model `ensemble`, those whose probabilities it averages; else none.
    """

    card: ModelCard
    served: bool
    default: bool = False
    members: list[ModelVersion] = []


class ModelList(Schema):
    """`GET /v1/models`."""

    items: list[ServedModel]


class JobPage(Schema):
    """`GET /v1/jobs`: newest first; `next_cursor` is None on the last page."""

    items: list[Job]
    next_cursor: str | None = None


class Manifest(Schema):
    """`GET /v1/jobs/{id}/result`: the artefacts of a succeeded job with size and SHA-256 each."""

    artefacts: list[Artefact]

    def artefact(self, name: str) -> Artefact | None:
        """The entry of that name; None if the job has no such artefact."""
        return next((artefact for artefact in self.artefacts if artefact.name == name), None)
