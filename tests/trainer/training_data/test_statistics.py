"""The summary of a data set, on heads whose lesions are known."""

from pathlib import Path

import numpy as np
import pytest

from metseg_trainer.datasets import Case
from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.datasets.summary import CaseFacts
from metseg_trainer.training_data.statistics import CaseStatistics, Look, describe, measure_case

SIDE, SLICES, BRAIN, MIDDLE = 128, 5, 100, 2
X, Y = np.meshgrid(*[np.arange(SIDE) - SIDE / 2] * 2, indexing="ij")


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return (X - x) ** 2 + (Y - y) ** 2 < radius**2


def head(*, skull: bool) -> np.ndarray:
    """A brain of 40 pixels radius, (slice, x, y), with or without a dark skull and a bright scalp around it."""
    plane = disc(0, 0, 40) * np.uint8(BRAIN)
    if skull:
        plane = np.where(disc(0, 0, 56) & ~disc(0, 0, 48), np.uint8(180), plane)
        plane = np.where(disc(0, 0, 48) & ~disc(0, 0, 40), np.uint8(30), plane)
    return np.repeat(plane[None], SLICES, axis=0)


def measured(pixels: np.ndarray, mask: np.ndarray, sizes: tuple[int, ...] = (), **facts: object) -> CaseStatistics:
    prepared = PreparedCase("x", pixels, mask.astype(np.uint8), np.arange(SLICES), (SIDE / 2, SIDE / 2))
    given = {"shape": (SIDE, SIDE, SLICES), "spacing": (1.0, 1.0, 1.0)} | facts
    case = Case("x", "x", Path("x"), Path("x"), label="glioma")
    return measure_case(
        CaseFacts(case=case, values=(0, 1), lesion_voxels=(1,), lesion_sizes=sizes, **given), prepared
    )


@pytest.fixture
def two_lesions() -> CaseStatistics:
    """A bright disc and a ring, 1.8 and 2 times as bright as brain, both in the slice in the middle alone."""
    pixels, mask = head(skull=True), np.zeros((SLICES, SIDE, SIDE), bool)
    solid, whole = disc(-15, 0, 5), disc(15, 0, 10)
    mask[MIDDLE] = solid | whole
    pixels[MIDDLE][solid] = 180
    pixels[MIDDLE][whole] = 50
    pixels[MIDDLE][whole & ~disc(15, 0, 7)] = 200
    return measured(pixels, mask, (81, 316))


def test_a_case_tells_of_its_lesions(two_lesions: CaseStatistics) -> None:
    assert two_lesions.per_slice == (2,)
    assert two_lesions.slices == SLICES
    solid, ring = two_lesions.looks
    assert solid == Look(contrast=1.8, rim=1.0, enhances=True)
    assert ring.rim == pytest.approx(4.0)
    assert ring.enhances


def test_a_dark_lesion_does_not_enhance() -> None:
    pixels, mask = head(skull=True), np.zeros((SLICES, SIDE, SIDE), bool)
    mask[MIDDLE] = disc(0, 0, 3)
    pixels[MIDDLE][mask[MIDDLE]] = 60
    assert measured(pixels, mask, (28,)).looks == (Look(contrast=0.6, rim=None, enhances=False),)


@pytest.mark.parametrize("skull", [True, False])
def test_a_skull_is_seen_where_there_is_one(skull: bool) -> None:
    assert measured(head(skull=skull), np.zeros((SLICES, SIDE, SIDE))).has_skull is skull


def test_without_a_head_nobody_knows_of_a_skull() -> None:
    empty = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    nothing = measured(empty, empty)
    assert (nothing.has_skull, nothing.looks, nothing.per_slice, nothing.diameters) == (None, (), (), ())


@pytest.mark.parametrize(
    ("shape", "spacing", "diameter", "unit"),
    [
        ((9, 9, 9), (1.0, 1.0, 1.0), (6 * 100 / np.pi) ** (1 / 3), "mm"),
        ((9, 9, 9), (0.5, 0.5, 4.0), (6 * 100 / np.pi) ** (1 / 3), "mm"),
        ((9, 9, 1), (1.0, 1.0, 1.0), 2 * np.sqrt(100 / np.pi), "px"),
        ((9, 9, 1), (0.5, 0.5, 6.0), np.sqrt(100 / np.pi), "mm"),
    ],
)
def test_a_lesion_has_the_diameter_of_a_ball_or_a_disc_of_its_size(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], diameter: float, unit: str
) -> None:
    empty = np.zeros((SLICES, SIDE, SIDE), np.uint8)
    case = measured(empty, empty, (100,), shape=shape, spacing=spacing)
    assert case.diameters == (pytest.approx(diameter),)
    assert case.unit == unit


def test_the_table_has_a_column_for_each_class_if_there_are_several() -> None:
    look = Look(1.5, None, enhances=True)
    glioma = CaseStatistics("glioma", "mm", (10.0,), 4, (1,), (look,), has_skull=True)
    other = CaseStatistics("meningioma", "mm", (20.0, 30.0), 6, (2, 1), (look, look), has_skull=False)
    lines = {line[:26].strip(): line[26:].split("  ") for line in describe([glioma, other])}
    assert [cell.strip() for cell in lines[""] if cell.strip()] == ["all", "glioma", "meningioma"]
    assert [cell.strip() for cell in lines["cases"] if cell.strip()] == ["2", "1", "1"]
    assert [cell.strip() for cell in lines["rings"] if cell.strip()] == ["–", "–", "–"]
    assert "50 % of 2" in "  ".join(lines["cases with a skull"])
    assert "meningioma" not in describe([other])[0]
