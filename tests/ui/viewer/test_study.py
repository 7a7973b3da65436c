"""What is drawn is the scan that was measured: sides, slices and numbers agree with the report."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_api import FakeApi
from phantoms import ORIENTATIONS, affine_of, card, centred, distances_mm
from results import Made, picture_result, volume_result

from metseg.errors import GeometryError
from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.report import Hemisphere, Lesion
from metseg_client import MetsegClient
from metseg_ui.text import totals
from metseg_ui.viewer.captions import lesion_table
from metseg_ui.viewer.planes import Plane
from metseg_ui.viewer.study import combine, fetch_study

SHAPE = (40, 44, 36)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return volume_result(tmp_path_factory.mktemp("volume"))


def nifti(volume: Volume) -> Scan:
    return Scan(volume, ScanKind.NIFTI)


def as_shown(array: np.ndarray) -> np.ndarray:
    """(rows, columns) of the only slice, as browser/geometry.js draws it: both axes run backwards."""
    return array[::-1, ::-1, 0].T


def client_for(made: Made) -> tuple[MetsegClient, str]:
    api = FakeApi([card()], made.files)
    return MetsegClient("http://api", transport=api.transport()), api.add_job()


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_a_lesion_in_front_on_the_left_lies_there_on_the_grid_in_any_orientation(
    codes: tuple[str, str, str],
) -> None:
    affine = centred(affine_of(codes, (2.0, 3.0, 2.5)), SHAPE, np.zeros(3))
    middle = np.array([-16.0, 12.0, 10.0])  # left, front, up
    mask = (distances_mm(SHAPE, affine, middle) <= 9).astype(np.uint8)
    volume = Volume(mask * np.int16(100), affine)
    lesions, labels = find_lesions(volume.with_array(mask), mask * np.float32(1), LesionRules())
    study = combine(nifti(volume), nifti(volume.with_array(labels)), lesions)
    assert study.measured_at(lesions[0])[0] is Plane.AXIAL
    x, y, z = np.argwhere(study.labels).mean(axis=0) - np.array(study.scan.shape) / 2
    assert x < 0 < min(y, z)  # drawn at the upper right, in sagittal slices at the upper left
    assert (study.scan.array[study.labels == 1] == 100).all()


def test_the_measured_slice_is_found_on_the_turned_grid() -> None:
    affine = centred(affine_of(("S", "L", "A"), (2.0, 1.0, 1.5)), SHAPE, np.zeros(3))
    lesion = Lesion(label=1, voxels=1, mean_probability=1, slice_axis=0, slice_index=33)
    volume = Volume(np.zeros(SHAPE, np.int16), affine)
    study = combine(nifti(volume), nifti(volume), [lesion])
    assert study.measured_at(lesion) == (Plane.AXIAL, 33)
    flipped = Volume(volume.array, affine @ np.diag((-1, 1, 1, 1)))
    assert combine(nifti(flipped), nifti(flipped), [lesion]).measured_at(lesion) == (
        Plane.AXIAL,
        SHAPE[0] - 1 - 33,
    )


def test_a_lesion_is_shown_where_it_was_measured_and_elsewhere_where_it_is_largest() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:35, 20, 8] = 1  # longest here
    mask[10:20, 15:25, 9:12] = 1  # most voxels here
    volume = Volume(mask.astype(np.int16), np.eye(4))
    lesions, labels = find_lesions(volume.with_array(mask), mask * np.float32(1), LesionRules())
    study = combine(nifti(volume), nifti(volume.with_array(labels)), lesions)
    assert [study.best_slice(lesions[0], plane) for plane in (Plane.AXIAL, Plane.CORONAL)] == [8, 20]


def test_scan_and_lesions_of_two_grids_are_refused() -> None:
    one = Volume(np.zeros(SHAPE, np.int16), np.eye(4))
    other = Volume(np.zeros(SHAPE, np.int16), np.diag((1.0, 1.0, 2.0, 1.0)))
    with pytest.raises(GeometryError, match="same grid"):
        combine(nifti(one), nifti(other), [])


def test_a_constant_scan_can_be_windowed() -> None:
    volume = Volume(np.full(SHAPE, 7, np.int16), np.eye(4))
    for window in combine(nifti(volume), nifti(volume.with_array(volume.array * 0)), []).windows.values():
        assert window.width > 0
        assert window.centre == pytest.approx(7)


def test_windows_follow_the_scans_own_grey_values(volume: Made) -> None:
    study = combine(nifti(volume.scan), nifti(volume.scan.with_array(volume.labels)), volume.lesions)
    assert list(study.windows) == ["Standard", "Enhancement", "Full range"]
    standard, enhancement, whole = study.windows.values()
    assert whole.low <= standard.low < standard.high <= whole.high
    assert enhancement.low > standard.low


def test_a_volumes_artefacts_are_read_as_the_report_counts_them(volume: Made) -> None:
    client, job_id = client_for(volume)
    report = client.report(job_id)
    study = fetch_study(client, report)
    assert study.planes == tuple(Plane)
    assert [int((study.labels == lesion.label).sum()) for lesion in report.lesions] == [
        lesion.voxels for lesion in report.lesions
    ]
    table = lesion_table(report, study)
    assert list(table) == [
        *("No.", "mm³", "Size mm", "RANO-BM", "Centre RAS mm", "Slice", "Slices", "p", "Highest p")
    ]
    targets = [report.lesions[label - 1] for label in report.rano_bm.targets]
    assert [table["RANO-BM"][one.label - 1] for one in targets] == ["target"] * len(targets)
    longest = sum(one.longest_diameter_mm for one in targets)
    assert totals(report)["RANO-BM sum"] == f"{longest:.1f} mm ({len(targets)})"
    assert table["Centre RAS mm"][0] == "-28, 30, 12"
    assert table["mm³"][0] == pytest.approx(report.lesions[0].volume_mm3, abs=0.05)
    assert totals(report)["Total volume"] == f"{report.total_volume_mm3 / 1000:.2f} mL"


def test_the_confidence_has_a_column_where_a_lesion_has_one(volume: Made) -> None:
    client, job_id = client_for(volume)
    report = client.report(job_id)
    study = fetch_study(client, report)
    told = [0.912, None, 0.3]
    known = [
        lesion.model_copy(update={"confidence": one}) for lesion, one in zip(report.lesions, told, strict=True)
    ]
    assert lesion_table(report.model_copy(update={"lesions": known}), study)["Confidence"] == [0.91, None, 0.3]
    assert "Confidence" not in lesion_table(report, study)


def test_side_and_depth_have_columns_where_a_lesion_has_them(volume: Made) -> None:
    client, job_id = client_for(volume)
    report = client.report(job_id)
    study = fetch_study(client, report)
    places = [(Hemisphere.LEFT, 12.4), (None, None), (Hemisphere.MIDDLE, 40.0)]
    placed = [
        lesion.model_copy(update={"hemisphere": side, "head_surface_mm": depth})
        for lesion, (side, depth) in zip(report.lesions, places, strict=True)
    ]
    table = lesion_table(report.model_copy(update={"lesions": placed}), study)
    assert table["Side"] == ["left", "–", "middle"]
    assert table["Depth mm"] == [12, None, 40]
    assert not {"Side", "Depth mm"} & set(lesion_table(report, study))


def test_a_picture_keeps_its_numbers_sides_and_pixels(tmp_path: Path) -> None:
    made = picture_result(tmp_path)
    client, job_id = client_for(made)
    report = client.report(job_id)
    study = fetch_study(client, report)
    assert study.planes == (Plane.AXIAL,)
    assert not study.knows_sides
    assert not study.has_spacing
    assert np.array_equal(as_shown(study.scan.array), made.scan.array[:, :, 0].T)
    assert np.array_equal(as_shown(study.labels), made.labels[:, :, 0].T)
    table = lesion_table(report, study)
    assert table["Size px"][0] == "29.0 × 29.0"
    assert table["Centre"] == ["column 50, row 40", "column 140, row 110"]
    assert totals(report)["Total area"].endswith(" px")
    assert "RANO-BM sum" not in totals(report)
    assert "RANO-BM" not in table


def test_a_picture_with_a_pixel_size_is_measured_in_millimetres(tmp_path: Path) -> None:
    client, job_id = client_for(picture_result(tmp_path, spacing_mm=(0.5, 0.5)))
    report = client.report(job_id)
    study = fetch_study(client, report)
    assert study.scan.spacing_mm[:2] == pytest.approx((0.5, 0.5))
    assert lesion_table(report, study)["Size mm"][0] == "14.5 × 14.5"
    assert totals(report)["Total area"].endswith(" mm²")


def test_a_pictures_parts_are_numbered_as_the_report_orders_them(tmp_path: Path) -> None:
    made = picture_result(tmp_path)
    report = json.loads(made.files["report.json"][1])
    report["lesions"][0]["label"], report["lesions"][1]["label"] = 2, 1
    made.files["report.json"] = ("application/json", json.dumps(report).encode())
    client, job_id = client_for(made)
    labels = as_shown(fetch_study(client, client.report(job_id)).labels)
    assert (labels[40, 50], labels[110, 140]) == (2, 1)
