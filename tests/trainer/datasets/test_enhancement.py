from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from metseg_trainer.datasets import Case
from metseg_trainer.datasets.enhancement import enhancing_share, strata_of
from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.recipes.recipe import Source
from metseg_trainer.training_data.sources import lesion_class

RADIUS = np.hypot(*np.mgrid[-40:40, -40:40])


def _slice(inside: float, core: float | None = None) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    grey = np.where(RADIUS < 10, inside, np.where(RADIUS < 38, 100, 0))
    if core is not None:
        grey = np.where(RADIUS < 8, core, grey)
    return grey.astype(np.uint8), (RADIUS < 10).astype(np.uint8)


@pytest.mark.parametrize(("inside", "share"), [(180, 1.0), (120, 0.0), (60, 0.0)])
def test_what_is_a_quarter_brighter_than_its_surroundings_enhances(inside: float, share: float) -> None:
    assert enhancing_share(*_slice(inside)) == share


def test_a_ring_enhances_in_part() -> None:
    assert 0.3 < enhancing_share(*_slice(180, core=40)) < 0.45


def test_air_is_no_surroundings_and_no_mask_does_not_enhance() -> None:
    pixels, mask = _slice(180)
    assert enhancing_share(np.where(mask, pixels, 0).astype(np.uint8), mask) == 1.0
    assert enhancing_share(pixels, np.zeros_like(mask)) == 0.0


def _prepared(inside: float) -> PreparedCase:
    pixels, mask = _slice(inside)
    return PreparedCase("a", pixels[None], mask[None], np.arange(1), (40.0, 40.0))


def test_strata_name_class_and_enhancement() -> None:
    cases = [Case(name, name, Path(name), None, "glioma") for name in ("bright", "dark")]
    strata = strata_of(cases, [_prepared(180), _prepared(60)])
    assert strata == {"bright": "glioma, enhancing", "dark": "glioma, not enhancing"}


def test_a_lesion_is_of_the_class_of_its_label_or_of_what_does_not_enhance() -> None:
    source = Source("x", label_classes=(("pituitary", 3),), non_enhancing_class=2)
    glioma = Case("a", "a", Path("a"), None, "glioma")
    assert lesion_class(source, glioma, _prepared(180)) == 1
    assert lesion_class(source, glioma, _prepared(60)) == 2
    assert lesion_class(source, replace(glioma, label="pituitary"), _prepared(60)) == 3
    assert lesion_class(Source("x"), glioma, _prepared(60)) == 1
