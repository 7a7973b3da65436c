import math
from itertools import pairwise

import numpy as np
import pytest
from calibrated import NUMBERS, fitted
from phantoms import affine_of, bright_is_lesion, card, centred, head_with_ball

from metseg.imaging.scan import Scan, ScanKind
from metseg.inference.segment import segment
from metseg.lesions.confidence import DEFINITIONS, confidence_of, features_of, with_confidence
from metseg.schemas.report import Lesion

LESION = Lesion(
    label=1,
    voxels=268,
    equivalent_sphere_mm=8.0,
    mean_probability=0.8,
    touches_border=False,
    slice_axis=2,
    slice_index=40,
    slices_spanned=4,
)


def changed(**fields):
    return LESION.model_copy(update=fields)


def sigmoid(odds):
    return 1 / (1 + math.exp(-odds))


@pytest.mark.parametrize(
    ("lesion", "odds"),
    [
        (LESION, 0.5),
        (changed(equivalent_sphere_mm=8 * math.exp(0.5)), 0.5 + 1),
        (changed(slices_spanned=2), 0.5 - 0.8 * math.log(2) / 0.5),
        (changed(mean_probability=0.9), 0.5 + 0.5),
        (changed(mean_probability=0.9, slices_spanned=8), 0.5 + 0.5 + 0.8 * math.log(2) / 0.5),
    ],
)
def test_the_confidence_is_that_of_the_formula(lesion, odds):
    assert confidence_of(lesion, fitted()) == pytest.approx(sigmoid(odds))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("equivalent_sphere_mm", np.geomspace(0.5, 200, 60)),
        ("slices_spanned", range(1, 60)),
        ("mean_probability", np.linspace(0, 1, 60)),
    ],
)
def test_more_of_a_feature_is_never_less_likely(field, values):
    told = [confidence_of(changed(**{field: value}), fitted()) for value in values]
    assert all(less <= more for less, more in pairwise(told))
    assert told[0] < told[-1]
    assert 0 < told[0]
    assert told[-1] < 1


@pytest.mark.parametrize(
    ("field", "feature"), [("equivalent_sphere_mm", "log_diameter"), ("slices_spanned", "log_slices")]
)
def test_what_no_calibrated_lesion_was_like_counts_as_the_nearest_that_was(field, feature):
    ends = [round(math.exp(NUMBERS[feature][end]), 9) for end in ("low", "high")]
    beyond = [ends[0] / 3, ends[1] * 5]
    for end, further in zip(ends, beyond, strict=True):
        assert confidence_of(changed(**{field: end}), fitted()) == pytest.approx(
            confidence_of(changed(**{field: further}), fitted())
        )


@pytest.mark.parametrize(
    "lesion",
    [changed(touches_border=True), changed(equivalent_sphere_mm=None, area_px=50), changed(slices_spanned=None)],
    ids=["at the border", "in a picture", "in a report of an earlier version"],
)
def test_a_lesion_of_unknown_size_has_no_confidence(lesion):
    assert features_of(lesion) is None
    assert confidence_of(lesion, fitted()) is None


def test_each_threshold_has_its_own_and_others_have_none():
    sure = fitted(0.3).model_copy(update={"intercept": 3.0})
    known = card(confidence=[fitted(0.5), sure])
    for threshold, told in ((0.5, sigmoid(0.5)), (0.3, sigmoid(3.0)), (0.4, None)):
        (lesion,) = with_confidence([LESION], known, threshold)
        assert lesion.confidence == (told if told is None else pytest.approx(told))
    assert with_confidence([LESION], card(), 0.5) == [LESION]


def head(ball_mm=(20.0, 10.0, 5.0)):
    shape = (60, 60, 40)
    affine = centred(affine_of(("L", "P", "S"), (3.0, 3.0, 4.0)), shape, np.zeros(3))
    return Scan(head_with_ball(shape, affine, np.array(ball_mm), 12, 70), ScanKind.NIFTI)


def test_a_segmented_scan_has_it_at_the_cards_threshold_alone():
    known = card(confidence=[fitted(0.5)])
    (lesion,) = segment(head(), known, bright_is_lesion).lesions
    assert lesion.confidence == pytest.approx(confidence_of(lesion, fitted(0.5)))
    assert 0.5 < lesion.confidence < 1
    (lesion,) = segment(head(), known, bright_is_lesion, threshold=0.6).lesions
    assert lesion.confidence is None


def test_a_lesion_that_the_scan_cuts_off_has_none():
    (lesion,) = segment(head((0.0, 0.0, 78.0)), card(confidence=[fitted(0.5)]), bright_is_lesion).lesions
    assert lesion.touches_border
    assert lesion.confidence is None


def test_every_feature_is_defined_and_known():
    assert features_of(LESION).keys() == DEFINITIONS.keys()
