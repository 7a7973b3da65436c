"""The kinds of lesion and the presets that have them: to train on, and to test on by other laws."""

import csv
import hashlib
import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from metseg_trainer.datasets import find_cases
from metseg_trainer.phantom import PRESETS, LesionKind, Phantom, PhantomPreset, make_phantom, write_scans
from metseg_trainer.phantom.anatomy import load_template
from metseg_trainer.phantom.grid import draw_grid
from metseg_trainer.phantom.interiors import Nodule, Septa
from metseg_trainer.phantom.placement import CLUSTER_GAP_MM, draw_mixture, place_lesions
from metseg_trainer.phantom.presets import PAIRED_PRESETS
from metseg_trainer.phantom.regions import ENHANCING, NECROSIS
from metseg_trainer.phantom.scan import draw_stripping, reoriented
from metseg_trainer.phantom.shapes import THIN_RIM_MM, THIN_RIMMED, LesionShape, draw_shape
from metseg_trainer.phantom.writing import scan_seed

COARSE = {"template_step": 3, "thick_share": 0.0, "thin_in_plane_mm": (3.0, 3.0)}
"""Makes a preset's scans in a third of a second."""

SHOWN = (
    (LesionKind.NODULAR_CYST, 34.0),
    (LesionKind.MULTILOCULAR, 26.0),
    (LesionKind.THIN_CYST, 20.0),
    (LesionKind.CLUSTER, 8.0),
)


@pytest.fixture(scope="module")
def sharp() -> Phantom:
    """All new kinds at 1 mm, without noise or blur."""
    preset = PhantomPreset(
        template_step=3,
        thick_share=0.0,
        thin_in_plane_mm=(1.0, 1.0),
        oblique_share=0.0,
        stored_axes=("RAS",),
        any_axes_share=0.0,
        noise=(0.0, 0.0),
        bias=(0.0, 0.0),
        blur_mm=(0.0, 0.0),
        bare_brain_share=0.0,
        lesions=SHOWN,
    )
    return make_phantom(4, preset)


def drawn_shapes(kind: LesionKind, count: int = 12, diameter_mm: float = 24.0) -> list[LesionShape]:
    return [draw_shape(np.random.default_rng(seed), kind, np.zeros(3), diameter_mm) for seed in range(count)]


def directions(count: int = 2000) -> np.ndarray:
    points = np.random.default_rng(0).standard_normal((count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def digest(phantom: Phantom) -> str:
    together = hashlib.sha256()
    for volume in (phantom.scan, phantom.labels, phantom.regions):
        together.update(volume.array.tobytes())
        together.update(volume.affine.round(9).tobytes())
    return together.hexdigest()[:16]


@pytest.mark.parametrize(
    ("number", "preset", "expected"),
    [(3, "small", "5286cf848f3e15f4"), (6, "small", "8a11955bb402fe4d")],
)
def test_the_presets_that_were_there_before_give_the_very_same_scans(number: int, preset: str, expected: str):
    assert digest(make_phantom(scan_seed(1, number), preset)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("number", "expected"), [(2, "b1d7df1256849c82"), (3, "953a2f2abf80bea1")])
def test_the_synthetic_test_set_is_the_very_same(number: int, expected: str):
    assert digest(make_phantom(scan_seed(9100, number), "clinical")) == expected


def test_kinds_and_sizes_of_the_training_preset_have_their_shares():
    preset = PRESETS["metastases"]
    rng = np.random.default_rng(2)
    drawn = [lesion for _ in range(2500) for lesion in draw_mixture(rng, preset, preset.mixture, 1.0)]
    kinds = Counter(kind for kind, _ in drawn)
    shares = {"solid": 0.45, "ring": 0.22, "thin_cyst": 0.1, "cyst_with_nodule": 0.1, "multilocular_cyst": 0.06}
    for kind, share in {**shares, "cluster": 0.07}.items():
        assert kinds[LesionKind(kind)] / len(drawn) == pytest.approx(share, abs=0.015), kind
    diameters = np.array([diameter for _, diameter in drawn])
    assert np.mean(diameters < 10) == pytest.approx(0.60, abs=0.02)
    assert np.mean(diameters > 25) == pytest.approx(0.15, abs=0.02)
    assert diameters.min() >= 2
    assert diameters.max() <= 55


def test_nothing_thinner_than_the_slices_is_drawn_of_a_mixture():
    rng = np.random.default_rng(1)
    preset = PRESETS["metastases"]
    drawn = [d for _ in range(300) for _, d in draw_mixture(rng, preset, preset.mixture, 6.0)]
    assert min(drawn) >= 3.6


@pytest.mark.parametrize("kind", THIN_RIMMED)
def test_thin_rims_are_thin_and_are_absent_over_at_most_two_fifths(kind: LesionKind):
    missing = []
    for shape in drawn_shapes(kind):
        thickness = shape.rim_thickness(directions())
        there = thickness[thickness > 0]
        assert THIN_RIM_MM[0] <= there.min() <= there.max() <= THIN_RIM_MM[1]
        missing.append(float(np.mean(thickness == 0)))
        assert missing[-1] == pytest.approx(shape.gap_share, abs=0.03)
    assert max(missing) < 0.43
    assert max(missing) > 0.2
    assert min(missing) < 0.1


def test_a_nodule_enhances_at_the_wall_inside_the_cyst():
    for shape in drawn_shapes(LesionKind.NODULAR_CYST):
        assert isinstance(shape.interior, Nodule)
        line = np.arange(-shape.reach_mm, shape.reach_mm, 0.6)
        points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
        whole, core = shape.fill(points)
        empty_whole, empty_core = replace(shape, interior=None).fill(points)
        assert np.array_equal(whole, empty_whole)
        nodule = empty_core & ~core
        assert np.count_nonzero(nodule) * 0.6**3 > 10
        assert np.count_nonzero(core) > np.count_nonzero(nodule)
        squeezed = points[nodule] @ shape.squeeze.T
        outermost = squeezed[np.linalg.norm(squeezed, axis=1).argmax()]
        away = np.linalg.norm(outermost)
        wall = shape.wall_point(outermost / away)
        assert np.linalg.norm(wall) - away < THIN_RIM_MM[1] + 0.8


def test_septa_divide_a_cyst_into_chambers():
    chambers = []
    for shape in drawn_shapes(LesionKind.MULTILOCULAR, 5, 30.0):
        assert isinstance(shape.interior, Septa)
        line = np.arange(-shape.reach_mm, shape.reach_mm, 0.6)
        grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)
        core = shape.fill(grid.reshape(-1, 3))[1].reshape(grid.shape[:3])
        sizes = np.bincount(ndimage.label(core)[0].ravel())[1:] * 0.6**3
        chambers.append(int(np.count_nonzero(sizes > 100)))
    assert min(chambers) >= 2
    assert max(chambers) >= 4


def test_a_cluster_is_several_small_lesions_close_together(sharp: Phantom):
    members = [lesion for lesion in sharp.truth if lesion.kind is LesionKind.CLUSTER]
    assert 3 <= len(members) <= 6
    centres = np.array([lesion.centre_ras_mm for lesion in members])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 1e3 * np.eye(len(members))
    assert apart.min(axis=1).max() < 25
    found = ndimage.label(np.isin(sharp.labels.array, [lesion.label for lesion in members]), np.ones((3, 3, 3)))[1]
    assert found == len(members)


def test_members_of_a_cluster_lie_apart_within_the_slice_plane():
    template, preset = load_template(3), PhantomPreset(template_step=3)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        members = place_lesions(rng, template, draw_grid(rng, preset), [(LesionKind.CLUSTER, 6.0)])
        for one, other in itertools.combinations(members, 2):
            apart = np.linalg.norm((one.centre_mm - other.centre_mm)[:2])
            assert apart > one.reach_mm + other.reach_mm + CLUSTER_GAP_MM


@pytest.mark.parametrize("seed", range(2))
def test_no_member_of_a_cluster_is_lost_in_thick_slices(seed: int):
    thick = {"template_step": 3, "thick_share": 1.0, "thick_slice_mm": (6.0, 6.0), "thick_in_plane_mm": (1.0, 1.0)}
    lesions = ((LesionKind.CLUSTER, 6.0), (LesionKind.CLUSTER, 5.0))
    phantom = make_phantom(seed, PhantomPreset(**thick, lesions=lesions))
    assert len(phantom.truth) > 2
    assert all(lesion.voxels_mm3 > 0 for lesion in phantom.truth)
    assert [lesion.label for lesion in phantom.truth] == list(range(1, len(phantom.truth) + 1))


def test_the_mask_is_the_whole_filled_lesion_and_its_truth(sharp: Phantom):
    assert [lesion.kind for lesion in sharp.truth[:3]] == [kind for kind, _ in SHOWN[:3]]
    for lesion in sharp.truth[:3]:
        inside = sharp.labels.array == lesion.label
        assert lesion.voxels_mm3 == pytest.approx(lesion.volume_mm3, rel=0.04)
        assert np.array_equal(ndimage.binary_fill_holes(inside), inside)
        assert {NECROSIS, ENHANCING} == set(np.unique(sharp.regions.array[inside]))
        bright, dark = (
            np.median(sharp.scan.array[inside & (sharp.regions.array == region)])
            for region in (ENHANCING, NECROSIS)
        )
        assert bright > 1.5 * dark


def test_the_hard_preset_paints_lesions_by_another_law():
    laws = PRESETS["metastases"].paint, PRESETS["hard"].paint
    for name in (
        "enhancement",
        "texture",
        "texture_mm",
        "fluid",
        "necrosis",
        "edge_mm",
        "inner_edge_mm",
        "on_tissue",
    ):
        assert getattr(laws[0], name) != getattr(laws[1], name), name


def test_two_fifths_of_the_training_heads_are_stripped_and_half_of_the_hard_ones():
    for preset, share in (("metastases", 0.4), ("hard", 0.5), ("hard_whole", 0.0), ("hard_stripped", 1.0)):
        stripped = [draw_stripping(seed, PRESETS[preset]) is not None for seed in range(1000)]
        assert np.mean(stripped) == pytest.approx(share, abs=0.05), preset


@pytest.mark.parametrize("seed", [3])
def test_a_pair_differs_in_its_skull_alone(seed: int):
    whole, stripped = (
        make_phantom(seed, replace(PRESETS[preset], **COARSE)) for preset in PAIRED_PRESETS["hard_pairs"]
    )
    assert (whole.settings["stripped"], stripped.settings["stripped"]) == (False, True)
    assert whole.truth == stripped.truth
    assert np.array_equal(whole.labels.array, stripped.labels.array)
    assert np.array_equal(whole.scan.affine, stripped.scan.affine)
    kept = stripped.scan.array > 0
    assert np.array_equal(whole.scan.array[kept], stripped.scan.array[kept])
    assert np.array_equal(whole.scan.array[whole.labels.array > 0], stripped.scan.array[whole.labels.array > 0])
    assert 0.1 < np.mean(kept) < 0.6
    middle = reoriented(stripped.scan, "RAS").array
    assert not middle[0].any()
    assert not middle[:, :, -1].any()


def test_a_set_of_pairs_shows_each_head_twice_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in PAIRED_PRESETS["hard_pairs"]:
        coarse = {**COARSE, "thin_in_plane_mm": (6.0, 6.0), "lesions": ((LesionKind.SOLID, 20.0),)}
        monkeypatch.setitem(PRESETS, name, replace(PRESETS[name], **coarse))
    write_scans(tmp_path, count=4, seed=3, preset="hard_pairs")
    truths = [json.loads(path.read_text()) for path in sorted((tmp_path / "truth").iterdir())]
    assert [truth["preset"] for truth in truths] == ["hard_whole", "hard_stripped"] * 2
    assert [truth["settings"]["stripped"] for truth in truths] == [False, True] * 2
    assert truths[0]["seed"] == truths[1]["seed"] != truths[2]["seed"] == truths[3]["seed"]
    assert truths[0]["lesions"] == truths[1]["lesions"]
    assert [case.patient for case in find_cases(tmp_path)] == ["head_0001"] * 2 + ["head_0002"] * 2
    with (tmp_path / "manifest.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
