"""The overlay shows the right slices, the right way round, at the right proportions."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from phantoms import ORIENTATIONS, affine_of, card, centred
from PIL import Image

from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg.inference.segment import Segmentation
from metseg.lesions.find import LesionRules, find_lesions
from metseg.schemas.job import JobRecord, JobRequest, ModelRef, new_job_id
from metseg_worker.anatomy.neck import anatomy_of
from metseg_worker.outputs.overlay import INK, LESION, draw_largest, draw_overlay
from metseg_worker.outputs.report import AskedModel, build_report
from metseg_worker.outputs.slice_views import View, outline

SPACING = (2.0, 2.0, 4.0)


def marked(
    codes: tuple[str, str, str] = ("R", "A", "S"), *points_mm: tuple[float, float, float]
) -> tuple[Volume, Volume]:
    """A head of 80 × 100 × 60 mm around the origin, and lesions of 6 mm radius at the points."""
    order = [next(i for i, pair in enumerate(("RL", "AP", "SI")) if code in pair) for code in codes]
    spacing = tuple(SPACING[i] for i in order)
    extent = [(120, 140, 100)[i] for i in order]
    shape = tuple(int(mm / step) for mm, step in zip(extent, spacing, strict=True))
    affine = centred(affine_of(codes, spacing), shape, np.zeros(3))
    grid = np.moveaxis(np.indices(shape, dtype=float), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    head = (np.abs(grid) < (40, 50, 30)).all(axis=-1)
    lesions = np.zeros(shape, np.uint8)
    for point in points_mm:
        lesions[np.linalg.norm(grid - point, axis=-1) < 6] = 1
    return Volume(head * np.int16(100) + lesions * np.int16(400), affine), Volume(lesions, affine)


def view_of(scan: Volume, mask: Volume) -> View:
    lesions, labels = find_lesions(mask, mask.array.astype(np.float32), LesionRules())
    return View.of(scan, mask.with_array(labels), lesions)


def draw(scan: Scan, mask: Volume, path: Path) -> np.ndarray:
    probability = mask.array.astype(np.float32)
    rules = LesionRules(0, 0, scan.is_picture, scan.has_spacing)
    lesions, labels = find_lesions(mask, probability, rules)
    found = Segmentation(
        mask.with_array(probability), mask, mask.with_array(labels), lesions, 0.5, coarsened=False
    )
    record = JobRecord(
        id=new_job_id(),
        created_at=datetime.now(UTC),
        request=JobRequest(),
        model=ModelRef(name="attention_unet", version=1, digest="0"),
        inputs=[],
    )
    report = build_report(record, AskedModel(card(), "a test"), scan, found, anatomy_of(scan))
    draw_overlay(scan, found, report, path)
    with Image.open(path) as image:
        return np.asarray(image)


def outlined(picture: np.ndarray) -> tuple[float, float]:
    """Middle row and column of what is drawn in the colour of lesions."""
    rows, columns = np.nonzero((picture == LESION).all(axis=-1))
    assert len(rows), "no lesion is outlined"
    return float(rows.mean()), float(columns.mean())


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_a_lesion_of_the_left_front_is_seen_on_the_right_top(codes):
    scan, mask = marked(codes, (-25, 30, 10))
    view = view_of(scan, mask)
    tile = view.tile(view.measured_slices(12)[0], 400)
    rows, columns = np.nonzero(tile.labels == 1)
    assert columns.min() > tile.grey.shape[1] / 2
    assert rows.max() < tile.grey.shape[0] / 2
    assert abs(tile.z_ras_mm - 10) <= SPACING[2]


def test_millimetres_are_equally_long_in_both_directions():
    affine = np.diag((1.0, 4.0, 2.0, 1.0))
    grey = np.zeros((100, 25, 3), np.int16)
    grey[5:95, 1:24] = 100
    view = view_of(Volume(grey, affine), Volume(np.zeros(grey.shape, np.uint8), affine))
    rows, columns = view.tile(1, 300).grey.shape
    assert rows == pytest.approx(columns, rel=0.1)


@pytest.mark.parametrize("codes", ORIENTATIONS[::5], ids="".join)
def test_every_lesion_is_shown_where_it_was_measured(codes):
    scan, mask = marked(codes, (0, 0, 2), (-20, 0, -14), (20, 0, 18))
    view = view_of(scan, mask)
    heights = [view.tile(index, 300).z_ras_mm for index in view.measured_slices(12)]
    assert heights == pytest.approx([-14, 2, 18], abs=SPACING[2] / 2 + 0.01)
    assert view.measured_on(view.measured_slices(12)) == 3


@pytest.mark.parametrize("codes", ORIENTATIONS[::5], ids="".join)
def test_the_diameters_lie_across_their_lesion(codes):
    scan, mask = marked(codes, (-25, 30, 10))
    view = view_of(scan, mask)
    tile = view.tile(view.measured_slices(1)[0], 400)
    assert tile.lines.shape == (2, 2, 2)
    rows, columns = np.nonzero(tile.labels)
    for line in tile.lines:
        assert line.mean(axis=0) == pytest.approx((columns.mean(), rows.mean()), abs=2 * tile.pixels_per_mm)
        assert np.linalg.norm(line[1] - line[0]) / tile.pixels_per_mm == pytest.approx(12, abs=2.5)


def test_where_not_all_lesions_fit_the_largest_are_shown():
    scan, mask = marked(("R", "A", "S"), (-20, 0, -14), (20, 0, 18))
    mask.array[np.nonzero(mask.array)[0].max(), :, :] = 0
    view = view_of(scan, mask)
    [index] = view.measured_slices(1)
    assert view.tile(index, 300).z_ras_mm == pytest.approx(-14, abs=SPACING[2] / 2)
    assert view.measured_on([index]) == 1


def test_the_outline_lies_around_a_lesion_and_not_on_it():
    labels = np.zeros((20, 20), np.uint16)
    labels[8:12, 8:12] = 1
    edge, halo = outline(labels)
    assert not edge[labels > 0].any()
    assert edge[7, 8:12].all()
    assert not (edge & halo).any()


def test_lesions_that_touch_are_kept_apart():
    labels = np.zeros((20, 20), np.uint16)
    labels[5:10, 5:10], labels[10:15, 5:10] = 1, 2
    edge, _ = outline(labels)
    assert edge[10, 6:9].all()


def test_the_picture_shows_the_lesion_outlined(tmp_path: Path):
    volume, mask = marked(("L", "P", "S"), (-25, 30, 10))
    picture = draw(Scan(volume, ScanKind.NIFTI), mask, tmp_path / "overlay.png")
    row, column = outlined(picture)
    assert column > picture.shape[1] / 2
    assert row < picture.shape[0] / 2


def test_a_scan_without_lesions_shows_six_slices_of_the_head(tmp_path: Path):
    volume, mask = marked()
    view = view_of(volume, mask)
    slices = view.middle_slices(6)
    assert len(slices) == 6
    assert all(volume.array[:, :, index].any() for index in slices)
    picture = draw(Scan(volume, ScanKind.NIFTI), mask, tmp_path / "overlay.png")
    assert not (picture == LESION).all(axis=-1).any()


def test_a_picture_is_shown_as_it_came(tmp_path: Path):
    pixels = np.zeros((64, 48, 1), np.uint8)
    pixels[2:62, 2:46] = 50
    pixels[50:60, 5:12] = 255
    volume = Volume(pixels, np.diag((-1.0, -1.0, 1.0, 1.0)))
    mask = volume.with_array((pixels > 200).astype(np.uint8))
    row, column = outlined(draw(Scan(volume, ScanKind.PICTURE, has_spacing=False), mask, tmp_path / "overlay.png"))
    assert column > 380
    assert row < 330


@pytest.mark.parametrize(("kind", "lettered"), [(ScanKind.PICTURE, False), (ScanKind.NIFTI, True)])
def test_only_a_scan_that_knows_its_sides_has_letters(kind: ScanKind, lettered: bool):
    volume = Volume(np.zeros((64, 48, 1), np.uint8), np.diag((-1.0, -1.0, 1.0, 1.0)))
    found = Segmentation(volume, volume, volume, [], 0.5, coarsened=False)
    [tile] = draw_largest(Scan(volume, kind, has_spacing=False), found, 1)
    left_edge = np.asarray(tile)[tile.height // 3 : tile.height * 2 // 3, :24]
    assert (left_edge == INK).all(axis=-1).any() == lettered
