import json
from pathlib import Path

from deploy.local.lesion_table import DrawnLesion, comparison_table, lesion_table, read_drawn
from metseg.schemas.report import Lesion

LARGEST = Lesion(
    label=1,
    voxels=520,
    volume_mm3=519.6,
    longest_diameter_mm=11.24,
    perpendicular_diameter_mm=9.0,
    centroid_ras_mm=(-31.0, 12.5, 40.04),
    mean_probability=0.913,
    slice_index=80,
    slice_axis=2,
)


def test_a_lesion_is_one_line_with_its_measures() -> None:
    head, line = lesion_table([LARGEST]).splitlines()
    assert "volume mm³" in head
    assert line.split() == ["1", "520", "11.2", "×", "9.0", "-31.0,", "12.5,", "40.0", "0.91"]


def test_columns_stand_below_each_other() -> None:
    small = LARGEST.model_copy(update={"label": 12, "volume_mm3": 4.0})
    assert len({len(line) for line in lesion_table([LARGEST, small]).splitlines()}) == 1


def test_what_could_not_be_measured_is_a_dash() -> None:
    flat = LARGEST.model_copy(update={"volume_mm3": None, "centroid_ras_mm": None})
    assert lesion_table([flat]).splitlines()[1].split()[1] == "–"


def test_no_lesion_is_said_in_a_sentence() -> None:
    assert lesion_table([]) == "No lesion was found."


DRAWN = DrawnLesion(kind="ring", volume_mm3=530.2, longest_mm=11.0, centre_ras_mm=(-30.5, 12.0, 40.5))
ELSEWHERE = DrawnLesion(kind="solid", volume_mm3=33.5, longest_mm=4.0, centre_ras_mm=(31.0, 12.5, 40.0))


def test_a_found_lesion_stands_beside_the_one_that_was_drawn_there() -> None:
    _, line = comparison_table([LARGEST], [ELSEWHERE, DRAWN]).splitlines()[:2]
    assert line.split()[-3:] == ["530", "11.0", "ring"]


def test_a_drawn_lesion_that_was_not_found_has_a_line_of_its_own() -> None:
    last = comparison_table([LARGEST], [DRAWN, ELSEWHERE]).splitlines()[-1]
    assert last.split() == ["–", "–", "–", "–", "–", "34", "4.0", "solid"]


def test_a_found_lesion_that_nobody_drew_says_so() -> None:
    assert "none here" in comparison_table([LARGEST], [ELSEWHERE]).splitlines()[1]


def test_left_and_right_are_told_apart() -> None:
    mirrored = DrawnLesion(kind="ring", volume_mm3=530.2, longest_mm=11.0, centre_ras_mm=(31.0, 12.5, 40.04))
    assert not mirrored.is_at(LARGEST)


def test_the_file_beside_a_phantom_is_read(tmp_path: Path) -> None:
    lesion = {
        "label": 1,
        "kind": "ring",
        "volume_mm3": 530.2,
        "longest_axial_mm": 11.0,
        "centre_ras_mm": [-30.5, 12.0, 40.5],
    }
    truth = tmp_path / "phantom.json"
    truth.write_text(json.dumps({"schema_version": 1, "lesions": [lesion]}))
    assert read_drawn(truth) == [DRAWN]
