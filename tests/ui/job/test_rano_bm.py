"""The page gives the rule behind each verdict."""

import numpy as np

from metseg.imaging.volume import Volume
from metseg.lesions.find import LesionRules, find_lesions
from metseg.response.rano_bm import assess
from metseg_ui.job.rano_bm import rano_lines


def judged(spacing_mm: float):
    index = np.moveaxis(np.indices((60, 30, 30)), 0, -1)
    mask = (np.linalg.norm(index - (14, 14, 14), axis=-1) <= 7) | (
        np.linalg.norm(index - (44, 14, 14), axis=-1) <= 3
    )
    volume = Volume(mask.astype(np.uint8), np.diag((1, 1, spacing_mm, 1)))
    lesions, _ = find_lesions(volume, mask.astype(np.float32), LesionRules())
    return assess(lesions, volume, is_picture=False)


def test_a_lesion_that_is_not_measurable_comes_with_its_rule():
    lines = rano_lines(judged(1.0))
    assert "1 measurable, 1 taken as targets" in lines[0]
    assert "slices 0° from axial, 1.00 mm apart" in lines[1]
    assert lines[2] == "Lesion 2 is not measurable. The rule: The longest diameter is 10 mm or more."
    assert lines[-1].startswith("Not judged: ")


def test_thick_slices_leave_one_sentence():
    [line] = rano_lines(judged(5.5))
    assert "at most 5 mm apart" in line
