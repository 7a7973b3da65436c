"""How far the members of an ensemble lie apart in what they say of a lesion."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from metseg.imaging.volume import Volume
from metseg.schemas.report import Lesion


def with_disagreement(
    lesions: Sequence[Lesion], labels: NDArray[np.uint16], views: Iterable[Volume]
) -> list[Lesion]:
    """The lesions with the mean probability that each member gives them, and how far these lie apart.

    Args:
        lesions: All of the scan, numbered from 1.
        labels: (x, y, z), the lesion's number in each of its voxels.
        views: Probabilities by member, on the same grid; one is taken after the other.
    """
    inside = labels > 0
    numbers = labels[inside]
    voxels = np.bincount(numbers)[1:]
    means = np.array([np.bincount(numbers, weights=view.array[inside])[1:] / voxels for view in views])
    told = {"member_probabilities": means.T.tolist(), "disagreement": np.ptp(means, axis=0).tolist()}
    return [
        lesion.updated(**{name: values[lesion.label - 1] for name, values in told.items()}) for lesion in lesions
    ]
