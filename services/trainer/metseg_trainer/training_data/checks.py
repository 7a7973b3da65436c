"""What is looked at before a network is trained: labels that were swapped, and images on both sides of a split."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from metseg.errors import InputError
from metseg.schemas.model_card import Preprocessing
from metseg_trainer.datasets import Case, read_image
from metseg_trainer.datasets.prepared_cases import load_cases
from metseg_trainer.datasets.reading import known_values, read_values
from metseg_trainer.recipes.recipe import Source
from metseg_trainer.training_data.leakage import expect_no_copies
from metseg_trainer.training_data.sources import Part, Paths, parts_of

MOST_COMPARED = 20
"""Cases, evenly spread, in which the brightness of labels is compared."""

FEWEST_VOXELS = 10
"""A label with fewer voxels in a case is not compared."""


def check_sources(sources: Iterable[Source], places: Paths, rules: Preprocessing) -> None:
    """Check all data of a run; what is prepared on the way is kept for the training.

    Raises:
        InputError: Labels look swapped, a file is unusable, or an image is on both sides of a split, be it in two
            sources; the message names the file.
    """
    parts: dict[Part, list[Case]] = {"train": [], "validation": []}
    for source in sources:
        found = parts_of(source, places)
        expect_bright_enhancement([*found["train"], *found["validation"]])
        for part in parts:
            parts[part] += found[part]
    train, validation = (
        list(zip(cases, load_cases(cases, rules, places.cache), strict=True)) for cases in parts.values()
    )
    expect_no_copies(train, validation)


def expect_bright_enhancement(cases: Sequence[Case]) -> None:
    """Stop where the label that should enhance is not the brightest, as when labels were swapped.

    In each case the median grey values of the labels are compared; the label that should enhance must be brighter
    than each other one in more than half of the cases that have both.

    Raises:
        InputError: The message names a mask, the two values and the scheme.
    """
    told = [case for case in cases if case.labelling.brightest is not None]
    chosen = np.unique(np.linspace(0, len(told) - 1, MOST_COMPARED).round().astype(int)) if told else ()
    darker: dict[int, list[Case]] = defaultdict(list)
    counts: dict[int, int] = defaultdict(int)
    for case in (told[index] for index in chosen):
        for value, is_darker in _compared(case).items():
            counts[value] += 1
            if is_darker:
                darker[value].append(case)
    for value, found in sorted(darker.items()):
        if 2 * len(found) >= counts[value]:
            raise InputError(
                f"{found[0].mask}: value {found[0].labelling.brightest} should be the enhancing part, but is no "
                f"brighter in the image than value {value} in {len(found)} of {counts[value]} cases; expected "
                f"{found[0].labelling.scheme}. Are labels swapped?"
            )


def _compared(case: Case) -> dict[int, bool]:
    """For each other label of a case, whether the one that should enhance is no brighter."""
    values, image = read_values(case).array, read_image(case).volume.array
    if values.shape != image.shape:
        raise InputError(f"{case.mask} has {values.shape} voxels, its image {case.image} has {image.shape}.")
    there = [value for value in known_values(case, values) if value]
    levels = {
        value: float(np.median(image[values == value]))
        for value in there
        if np.count_nonzero(values == value) >= FEWEST_VOXELS
    }
    brightest = levels.pop(case.labelling.brightest or 0, None)
    if brightest is None:
        return {}
    return {value: brightest <= level for value, level in levels.items()}
