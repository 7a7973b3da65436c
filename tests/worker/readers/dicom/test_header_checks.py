"""What is warned of, and refused, of images that are sound but perhaps not what the model is for."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from dicom_series import classic, noise_volume, write
from PIL import Image

from metseg.errors import NotMrError, WrongBodyPartError
from metseg_worker.readers.open import ReadOptions, open_scan


def warnings_of(folder: Path, **attributes: object) -> str:
    paths = write(classic(noise_volume(), **attributes), folder / "in")
    return " ".join(open_scan(paths, folder / "unpacked", ReadOptions()).warnings)


@pytest.mark.parametrize("part", ["ABDOMEN", "CSPINE", "KNEE", "NECK"])
def test_another_part_of_the_body_is_refused_by_name(tmp_path: Path, part):
    with pytest.raises(WrongBodyPartError, match=part.lower().removeprefix("c")):
        warnings_of(tmp_path, BodyPartExamined=part)


@pytest.mark.parametrize("part", ["BRAIN", "HEAD", "HEADNECK", "SKULL", "", "UNKNOWN"])
def test_a_head_or_a_header_that_does_not_tell_is_taken(tmp_path: Path, part):
    assert warnings_of(tmp_path, BodyPartExamined=part) == ""


@pytest.mark.parametrize(
    "header",
    [
        {"SeriesDescription": "t1_mprage_native", "ContrastBolusAgent": ""},
        {"SeriesDescription": "AX T1 PRE", "ContrastBolusAgent": ""},
        {"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "NONE"},
    ],
)
def test_a_header_that_says_that_no_agent_was_given_is_warned_of(tmp_path: Path, header):
    assert "no contrast agent was given" in warnings_of(tmp_path, **header)


@pytest.mark.parametrize("description", ["T1 MPRAGE", "anat-T1w", "t1_mpr_sag_p2_iso", ""])
def test_a_header_that_is_silent_of_an_agent_is_asked_about(tmp_path: Path, description):
    warnings = warnings_of(tmp_path, SeriesDescription=description, ContrastBolusAgent="")
    assert warnings.startswith("The header names no contrast agent. Was one given?")
    assert "another contrast" not in warnings


def test_another_contrast_than_t1_is_not_asked_for_an_agent(tmp_path: Path):
    warnings = warnings_of(tmp_path, SeriesDescription="AX FLAIR", ContrastBolusAgent="")
    assert "contrast agent" not in warnings


@pytest.mark.parametrize("description", ["AX FLAIR", "t2_tse_tra", "ep2d_diff_ADC", "SWI"])
def test_another_contrast_than_t1_is_warned_of(tmp_path: Path, description):
    assert "another contrast than T1" in warnings_of(tmp_path, SeriesDescription=description)


def opened_picture(pixels: np.ndarray, folder: Path) -> None:
    Image.fromarray(pixels).save(folder / "picture.jpg", quality=90)
    open_scan([folder / "picture.jpg"], folder / "unpacked", ReadOptions())


@pytest.mark.parametrize("name", ["flower.jpg", "china.jpg"])
def test_a_photograph_is_refused(tmp_path: Path, name):
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no photographs: scikit-learn is not installed")
    photograph = Path(spec.submodule_search_locations[0]) / "datasets" / "images" / name
    with pytest.raises(NotMrError, match="colour"):
        open_scan([photograph], tmp_path / "unpacked", ReadOptions())


def test_a_grey_slice_with_marks_in_colour_is_taken(tmp_path: Path):
    disc = np.hypot(*np.mgrid[-100:100, -100:100]) < 70
    pixels = np.repeat((90 * disc).astype(np.uint8)[:, :, None], 3, axis=2)
    pixels[:15] = (255, 200, 0)
    opened_picture(pixels, tmp_path)
    pixels[:30] = (255, 200, 0)
    (tmp_path / "2").mkdir()
    with pytest.raises(NotMrError):
        opened_picture(pixels, tmp_path / "2")
