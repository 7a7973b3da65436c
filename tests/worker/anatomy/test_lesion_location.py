"""Lesions are told to lie left or right, and how deep, as heads of known shape and place have them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from heads import LESION_GREY, RADII_MM, head, motion
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from workplace import Workplace

from metseg.imaging.limits import DEFAULT_LIMITS
from metseg.imaging.nifti import geometry_of, read_nifti, write_nifti
from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.inference.segment import Segmentation
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.report import Hemisphere
from metseg_trainer.phantom.grid import draw_grid
from metseg_trainer.phantom.presets import PRESETS
from metseg_worker.anatomy.head import find_head, middle_plane
from metseg_worker.anatomy.lesion_location import (
    CUT,
    MIN_SIMILARITY,
    NO_AIR,
    NO_PLACE,
    PICTURE,
    THIN,
    UNLIKE,
    Placed,
    placed,
)
from metseg_worker.anatomy.neck import anatomy_of

BALLS = [
    ((34.0, 10.0, 12.0), 8.0),
    ((-20.0, -45.0, 20.0), 6.0),
    ((1.0, 20.0, 10.0), 5.0),
    ((-48.0, 0.0, 5.0), 4.0),
]
SIDES = [Hemisphere.RIGHT, Hemisphere.LEFT, Hemisphere.MIDDLE, Hemisphere.LEFT]
POSES = {
    "straight": np.eye(4),
    "turned and moved": motion(11, (0, 0, 1), (8, -5, 6)),
    "tilted to the side": motion(9, (0, 1, 0.3), (-4, 12, 0)),
}
SAMPLES = Path(__file__).parents[3] / "samples"
PLANE_WITHIN_MM, SURFACE_WITHIN_MM = 1.0, 2.0


def placed_in(volume: Volume, **about: object) -> Placed:
    """The places of the bright balls in a scan."""
    mask = volume.with_array(volume.array == LESION_GREY)
    scan = Scan(volume, **({"kind": ScanKind.NIFTI, "nifti_header": geometry_of(volume)} | about))
    rules = LesionRules(is_picture=scan.is_picture)
    lesions, labels = find_lesions(mask, mask.array.astype(np.float32), rules)
    sure = mask.with_array(mask.array.astype(np.float32))
    return placed(
        scan, Segmentation(sure, mask, mask.with_array(labels), lesions, 0.5, coarsened=False), anatomy_of(scan)
    )


def surface_points() -> NDArray[np.float64]:
    directions = np.random.default_rng(0).normal(size=(200_000, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True) * RADII_MM


def cut_to(volume: Volume, **sides: tuple[int, int]) -> Volume:
    """A part of a volume, from one voxel to another along some axes."""
    parts = [slice(*sides.get(name, (0, size))) for name, size in zip("xyz", volume.shape, strict=True)]
    affine = volume.affine.copy()
    affine[:3, 3] = volume.world(np.array([[part.start for part in parts]]))[0]
    return Volume(volume.array[tuple(parts)], affine)


@pytest.mark.parametrize("spacing_mm", [(1.5, 1.5, 1.5), (1.0, 1.0, 3.0)], ids=str)
@pytest.mark.parametrize("pose", POSES)
def test_side_and_depth_are_those_of_the_head(pose: str, spacing_mm: tuple[float, float, float]):
    found = placed_in(head(spacing_mm, BALLS, pose=POSES[pose]))
    assert found.head.not_told == []
    surface = cKDTree(surface_points())
    for lesion, side, (middle, radius) in zip(found.lesions, SIDES, BALLS, strict=True):
        assert lesion.hemisphere is side
        assert lesion.right_of_midplane_mm == pytest.approx(middle[0], abs=PLANE_WITHIN_MM)
        depth = surface.query(middle)[0] - radius
        assert lesion.head_surface_mm == pytest.approx(depth, abs=SURFACE_WITHIN_MM)


def test_places_do_not_depend_on_how_the_scan_is_stored():
    straight = head((1.5, 1.5, 1.5), BALLS)
    turned = np.zeros((4, 4))
    turned[0, 1] = turned[2, 0] = turned[3, 3] = 1
    turned[1, 2], turned[1, 3] = -1, straight.shape[1] - 1
    other = Volume(straight.array.transpose(2, 0, 1)[:, :, ::-1], straight.affine @ turned)
    for one, same in zip(placed_in(straight).lesions, placed_in(other).lesions, strict=True):
        assert (one.hemisphere, one.label) == (same.hemisphere, same.label)
        assert one.right_of_midplane_mm == pytest.approx(same.right_of_midplane_mm, abs=1e-6)
        assert one.head_surface_mm == pytest.approx(same.head_surface_mm, abs=1e-6)


def test_the_plane_of_a_phantom_is_that_of_its_anatomy():
    truth = json.loads((SAMPLES / "phantom_demo_truth.json").read_text())
    grid = draw_grid(np.random.default_rng(truth["seed"]), PRESETS[truth["preset"]])
    scan, _, _ = read_nifti(SAMPLES / "phantom_demo.nii.gz", DEFAULT_LIMITS)
    middle = np.array([(0.0, 0, 0), (0, -60, 0), (0, 20, 40), (0, 40, -30)])
    at = (grid.pose.to_grid(middle) - grid.first_mm) / grid.spacing_mm
    points_mm = scan.to_ras().world(at)
    plane = middle_plane(find_head(scan))
    assert plane.similarity >= MIN_SIMILARITY
    assert np.abs(plane.right_mm(points_mm)).max() < 1


def test_a_picture_has_no_place():
    flat = Volume(np.zeros((64, 64, 1), np.uint8), np.eye(4))
    found = placed_in(flat.with_array(flat.array + 3), kind=ScanKind.PICTURE, nifti_header=None)
    assert found.head.not_told == [PICTURE]


def test_a_file_that_does_not_say_where_left_is_tells_no_side():
    volume = head((2.0, 2.0, 2.0), BALLS)
    header = bytearray(geometry_of(volume))
    header[252:256] = bytes(4)  # qform_code and sform_code
    found = placed_in(volume, nifti_header=bytes(header))
    assert found.head.not_told == [NO_PLACE]
    assert all(lesion.hemisphere is None and lesion.head_surface_mm > 0 for lesion in found.lesions)


def test_a_thin_slice_without_a_head_is_placed_nowhere():
    array = np.full((64, 64, 1), LESION_GREY)
    found = placed_in(Volume(array, np.diag((1.0, 1.0, 0.3, 1.0))))
    assert found.head.not_told == [THIN, NO_AIR]


def test_a_slab_tells_the_side_and_a_slice_or_half_a_head_does_not():
    whole = head((2.0, 2.0, 2.0), BALLS, pose=POSES["tilted to the side"])
    slab = placed_in(cut_to(whole, z=(48, 60)))
    assert [lesion.hemisphere for lesion in slab.lesions[:2]] == SIDES[:2]
    assert placed_in(cut_to(whole, z=(50, 54))).head.not_told[0] == THIN
    assert placed_in(cut_to(whole, x=(44, 90))).head.not_told[0] in (THIN, UNLIKE)


def test_no_distance_is_told_where_the_scan_ends_nearer_than_the_head():
    volume = head((2.0, 2.0, 2.0), BALLS)
    lesions = {one.label: one for one in placed_in(volume).lesions}
    cut = placed_in(cut_to(volume, y=(0, 64)))
    assert cut.head.not_told == [CUT.format(labels="1, 3")]
    assert cut.lesions[0].head_surface_mm is None
    assert cut.lesions[1].head_surface_mm == pytest.approx(lesions[2].head_surface_mm, abs=0.1)
    inside = placed_in(cut_to(volume, x=(25, 65), y=(30, 75), z=(30, 65)))
    assert NO_AIR in inside.head.not_told


def test_report_table_and_document_tell_the_places(place: Workplace, tmp_path: Path):
    write_nifti(tmp_path / "head.nii.gz", head((2.0, 2.0, 2.0), BALLS[:2]))
    job_id = place.submit((tmp_path / "head.nii.gz").read_bytes())
    place.attempt(job_id)
    report = json.loads(place.artefact(job_id, "report.json").read_text())
    assert [lesion["hemisphere"] for lesion in report["lesions"]] == ["right", "left"]
    assert report["head"]["midplane_right_ras"] == pytest.approx([1, 0, 0], abs=0.02)
    rows = list(csv.DictReader(place.artefact(job_id, "lesions.csv").read_text().splitlines()))
    assert [row["hemisphere"] for row in rows] == ["right", "left"]
    assert float(rows[0]["head_surface_mm"]) == pytest.approx(report["lesions"][0]["head_surface_mm"], abs=1e-3)
