"""The ensemble: all models that are served, asked about the same scan, and the mean of what they say.

It has no weights and no folder of its own. Its card and its digest follow from those of its members, and a job
keeps the members that it was accepted with.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from metseg.schemas.job import ENSEMBLE, ModelRef, ModelVersion
from metseg.schemas.model_card import ModelCard
from metseg.storage.checksums import sha256_of_all

FEWEST_MEMBERS: Final = 2
RULE_VERSION: Final = 1
"""Of the way in which members become one: probabilities averaged, thresholds and smallest lesions too."""


def version_of(card: ModelCard) -> ModelVersion:
    """What a job keeps of a model."""
    return ModelVersion(name=card.name, version=card.version, digest=card.digest)


def ensemble_ref(members: Sequence[ModelVersion]) -> ModelRef:
    """The ensemble of these members; its digest is taken over theirs, in their order."""
    digest = sha256_of_all(member.digest for member in members)
    return ModelRef(name=ENSEMBLE, version=RULE_VERSION, digest=digest, members=tuple(members))


def ensemble_card(cards: Sequence[ModelCard]) -> ModelCard:
    """What there is to say of the ensemble of models.

    Threshold and smallest lesion are the means of theirs, as `metseg-train compare` judges it. The preprocessing
    is that of the first; each member sees a scan prepared by its own. It has no scores: theirs are not its own.

    Args:
        cards: Of the members, at least one.
    """
    first = cards[0]
    named = ", ".join(f"{card.name} {card.version}" for card in cards)
    told = f"The mean of {named}. How good it is was not measured; the scores of its members stand in their cards."
    return ModelCard(
        name=ENSEMBLE,
        version=RULE_VERSION,
        network=ENSEMBLE,
        preset="mean",
        preprocessing=first.preprocessing,
        threshold=round(float(np.mean([card.threshold for card in cards])), 3),
        min_lesion_mm3=float(np.mean([card.min_lesion_mm3 for card in cards])),
        min_lesion_px=round(float(np.mean([card.min_lesion_px for card in cards]))),
        parameters=sum(card.parameters for card in cards),
        gflop_per_slice=round(sum(card.gflop_per_slice for card in cards), 2),
        training_data=list(dict.fromkeys(data for card in cards for data in card.training_data)),
        scores=[],
        weights_sha256=sha256_of_all(card.weights_sha256 for card in cards),
        software={name: version for card in cards for name, version in card.software.items()},
        intended_use=" ".join(dict.fromkeys(card.intended_use for card in cards)),
        limits=[told, *dict.fromkeys(limit for card in cards for limit in card.limits)],
        licence="; ".join(dict.fromkeys(card.licence for card in cards)),
        created_at=max(card.created_at for card in cards),
    )
