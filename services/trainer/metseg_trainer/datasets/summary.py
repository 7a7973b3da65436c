"""What a data set holds, case by case, before anything is trained on it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from metseg.errors import InputError
from metseg_trainer.datasets import Case, read_lesions, read_mask
from metseg_trainer.datasets.reading import known_values, read_values


@dataclass(frozen=True)
class CaseFacts:
    """One case, as its mask says.

    Attributes:
        case: Where it lies.
        shape: Voxels along x, y and z.
        values: The values in the mask's file, in order.
        lesion_voxels: Voxels of each class of its labelling, from class 1 on.
        lesion_sizes: Voxels of each lesion.
        spacing: Distance of voxels along x, y and z in mm; 1 for a picture, which does not tell.
    """

    case: Case
    shape: tuple[int, int, int]
    values: tuple[int, ...]
    lesion_voxels: tuple[int, ...]
    lesion_sizes: tuple[int, ...]
    spacing: tuple[float, float, float]

    @property
    def lesions(self) -> int:
        """Number of lesions."""
        return len(self.lesion_sizes)


def list_facts(cases: Iterable[Case]) -> Iterator[CaseFacts]:
    """Read each case's mask and say what is in it.

    Raises:
        InputError: A mask cannot be read or holds a value outside of its scheme; the message names the file.
    """
    for case in cases:
        values, classes = read_values(case), read_mask(case)
        sizes = np.bincount(read_lesions(case).array.reshape(-1))
        counts = np.bincount(classes.array.reshape(-1), minlength=case.labelling.lesion_classes + 1)
        yield CaseFacts(
            case=case,
            shape=classes.shape,
            values=tuple(known_values(case, values.array)),
            lesion_voxels=tuple(int(count) for count in counts[1:]),
            lesion_sizes=tuple(int(count) for count in sizes[1:][sizes[1:] > 0]),
            spacing=classes.spacing_mm,
        )


def expect_lesions(facts: Iterable[CaseFacts], name: str) -> None:
    """Stop where no case of a set shows a lesion.

    Raises:
        InputError: There is nothing to learn.
    """
    if not any(fact.lesions for fact in facts):
        raise InputError(f"{name} holds no lesion in any mask; is the target the right one?")
