"""Lesions painted into real slices while training draws them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from metseg_trainer.datasets.prepared_cases import PreparedCase
from metseg_trainer.implants import Implanter, ImplantSettings, Kind, Odds, Tumour, collect_tumours
from metseg_trainer.implants.brain import find_brain
from metseg_trainer.implants.coverage import Placed, box_around, coverage
from metseg_trainer.implants.distractors import paint_distractor
from metseg_trainer.implants.painting import Look, paint_lesion
from metseg_trainer.implants.pasting import cut_out
from metseg_trainer.implants.scene import Scene, make_scene
from metseg_trainer.implants.shapes import draw_outline

Slab = NDArray[np.uint8]

SIDE = 192
WHITE = 110
MM = (1.0, 1.0, 1.0)
KINDS = [kind for kind in Kind if kind is not Kind.PASTED]
PLAIN = ImplantSettings(distractors=0.0, empty=0.0, faint=0.0, at_edge=0.0)


def _head(seed: int = 0, slices: int = 3) -> Slab:
    """A head with scalp, skull, brain and a ventricle; the slices differ by noise."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    away = np.hypot(x / 72, y / 84)
    head = np.select(
        [np.hypot(x / 8, y / 20) < 1, away < 0.82, away < 0.93, away < 1], [30, WHITE, 15, 200], default=2
    )
    noisy = head[..., None] + rng.normal(0, 4, (SIDE, SIDE, slices)) * (away < 1)[..., None]
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _lone_head() -> Slab:
    return np.repeat(_head()[..., 1:2], 3, axis=2)


def _empty() -> NDArray[np.uint8]:
    return np.zeros((SIDE, SIDE), np.uint8)


def _scene(spacing_mm: tuple[float, float, float] = MM, **changes: object) -> Scene:
    slab = _head()
    brain = find_brain(slab[..., 1])
    assert brain is not None
    scene = make_scene(slab, _empty(), spacing_mm, brain, PLAIN, np.random.default_rng(0))
    return replace(scene, enhancement=1.8, blur_px=0.5, **changes)


def _outside(slab: Slab) -> NDArray[np.bool_]:
    brain = find_brain(slab[..., 1])
    assert brain is not None
    return ~brain.region


def _only(kind: Kind, diameter_mm: float) -> ImplantSettings:
    return replace(PLAIN, lesions=(Odds(kind, (diameter_mm, diameter_mm), 1),), count=(1, 1))


def test_equal_seeds_paint_equal_slices_and_others_do_not() -> None:
    implanter = Implanter(ImplantSettings(empty=0.0))

    def paint(*seed: int) -> tuple[Slab, NDArray[np.uint8]]:
        return implanter.add(_head(), _empty(), MM, np.random.default_rng(seed))

    for one, again in zip(paint(1, 2, 3), paint(1, 2, 3), strict=True):
        np.testing.assert_array_equal(one, again)
    for other in ((9, 2, 3), (1, 9, 3), (1, 2, 9)):
        assert (paint(1, 2, 3)[0] != paint(*other)[0]).any()


def test_what_came_is_left_as_it_was() -> None:
    slab, mask = _head(), _empty()
    Implanter(ImplantSettings()).add(slab, mask, MM, np.random.default_rng(0))
    np.testing.assert_array_equal(slab, _head())
    assert not mask.any()


def test_a_slice_without_brain_stays_as_it_is() -> None:
    air = np.full((SIDE, SIDE, 3), 3, np.uint8)
    made = Implanter(ImplantSettings()).paint(air, _empty(), MM, np.random.default_rng(0))
    assert made.implants == ()
    np.testing.assert_array_equal(made.slab, air)


@pytest.mark.parametrize("kind", KINDS)
def test_cover_is_the_share_of_fine_points_inside(kind: Kind) -> None:
    outline = draw_outline(np.random.default_rng(3), kind, 16.0)
    spacing = (1.0, 0.9, 2.0)
    placed = Placed(outline, (30.3, 29.8), 1.2)
    box = box_around(placed.centre_px, (24, 24), (60, 60))
    whole, core = coverage(placed, box, spacing, 3)
    cuts = 4
    steps = (np.arange(cuts) + 0.5) / cuts - 0.5
    pixels = np.stack(
        np.meshgrid(
            np.arange(box.low[0], box.high[0]), np.arange(box.low[1], box.high[1]), np.arange(3) - 1, indexing="ij"
        ),
        axis=-1,
    )
    exact = np.zeros(whole.shape), np.zeros(whole.shape)
    centre = np.array([*placed.centre_px, 0])
    for shift in np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3):
        points = (pixels + shift - centre) * spacing - [0, 0, placed.depth_mm]
        for total, distance in zip(
            exact, outline.distances(points.reshape(-1, 3).astype(np.float32)), strict=True
        ):
            total += (distance < 0).reshape(whole.shape) / cuts**3
    assert np.abs(whole - exact[0]).mean(where=exact[0] > 0) < 0.04
    assert abs(whole.sum() / exact[0].sum() - 1) < 0.03
    assert np.abs(core - np.minimum(*exact)).mean(where=exact[0] > 0) < 0.06
    assert abs(core.sum() - exact[1].sum()) <= 0.08 * exact[0].sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diameter_mm", [6.0, 20.0, 45.0])
def test_a_lesion_has_the_volume_of_its_diameter(kind: Kind, diameter_mm: float) -> None:
    side = 80
    ratios = []
    for seed in range(6):
        placed = Placed(draw_outline(np.random.default_rng(seed), kind, diameter_mm), (side / 2, side / 2), 0.0)
        reach = placed.outline.reach_mm + 2
        box = box_around(placed.centre_px, (reach, reach), (side, side))
        whole, _ = coverage(placed, box, MM, 2 * int(reach) + 1)
        ratios.append(whole.sum() / (np.pi / 6 * diameter_mm**3))
    assert 0.85 < np.median(ratios) < 1.3 if kind is Kind.NODULE else 0.88 < np.median(ratios) < 1.12


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_hold_the_next_cross_sections(kind: Kind) -> None:
    outline = draw_outline(np.random.default_rng(5), kind, 30.0)
    placed = Placed(outline, (40.0, 40.0), 3.0)
    whole, _ = coverage(placed, box_around((40.0, 40.0), (40, 40), (80, 80)), MM, 3)
    below, middle, above = whole.sum(axis=(0, 1))
    assert middle > 0.2 * np.pi / 4 * 30**2
    assert abs(below - middle) < 0.15 * middle
    assert abs(above - middle) < 0.15 * middle
    assert abs(below + above - 2 * middle) < 0.08 * middle


def test_a_small_lesion_does_not_reach_a_far_slice() -> None:
    outline = draw_outline(np.random.default_rng(0), Kind.SOLID, 3.0)
    placed = Placed(outline, (20.0, 20.0), 0.0)
    whole, _ = coverage(placed, box_around((20.0, 20.0), (8, 8), (40, 40)), (1.0, 1.0, 10.0), 3)
    assert whole[..., 1].max() > 0.1
    assert whole[..., [0, 2]].max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_where_half_of_a_pixel_is_lesion(kind: Kind) -> None:
    scene = replace(_scene(), blur_px=0.4)
    placed = Placed(draw_outline(np.random.default_rng(1), kind, 24.0), (96.0, 55.0), 0.0)
    assert paint_lesion(np.random.default_rng(0), scene, placed, Look(30.0, 0.8, 0.0), 1)
    box = box_around(placed.centre_px, (30, 30), scene.mask.shape)
    middle = coverage(placed, box, MM, 3)[0][..., 1] * scene.free[box.index]
    marked = scene.mask[box.index] > 0
    assert marked[middle > 0.9].mean() > 0.97
    assert not marked[middle < 0.1].any()
    assert scene.mask.sum() == marked.sum()


@pytest.mark.parametrize("enhancement", [1.1, 1.3, 2.2])
def test_a_lesion_enhances_relative_to_its_surroundings(enhancement: float) -> None:
    scene = replace(_scene(), enhancement=enhancement)
    placed = Placed(draw_outline(np.random.default_rng(1), Kind.SOLID, 14.0), (96.0, 55.0), 0.0)
    paint_lesion(np.random.default_rng(0), scene, placed, Look(30.0, 0.8, 0.05), 1)
    bright = scene.values[..., 1][scene.mask > 0].mean() / WHITE
    assert 1 + 0.75 * (max(enhancement, 1.12) - 1) < bright < 1 + 1.15 * (max(enhancement, 1.12) - 1)


def test_a_cyst_is_dark_inside_of_a_bright_rim_that_may_have_a_gap() -> None:
    scene = _scene()
    outline = draw_outline(np.random.default_rng(1), Kind.CYST, 30.0)
    placed = Placed(outline, (96.0, 55.0), 0.0)
    paint_lesion(np.random.default_rng(0), scene, placed, Look(30.0, 0.8, 0.0), 1)
    values = scene.values[..., 1][scene.mask > 0]
    assert 0.5 < (values < 50).mean() < 0.95
    assert (values > 1.2 * WHITE).mean() > 0.04
    gaps = [draw_outline(np.random.default_rng(seed), Kind.CYST, 30.0).gap_cosine for seed in range(50)]
    assert 0.2 <= min(gaps) < 0.5


def test_axes_differ_by_two_at_most() -> None:
    for seed in range(100):
        squeeze = draw_outline(np.random.default_rng(seed), Kind.SOLID, 9.0).squeeze
        lengths = np.linalg.svd(squeeze, compute_uv=False)
        assert lengths[0] / lengths[-1] < 2.0001
        assert np.linalg.det(squeeze) == pytest.approx(1, abs=1e-5)


def test_nothing_is_painted_outside_of_the_brain() -> None:
    slab = _head()
    implanter = Implanter(ImplantSettings(empty=0.0, at_edge=1.0, blur_px=(0.4, 0.6), enhancement=(1.3, 1.4)))
    far = _outside(slab)
    far &= ~np.isin(np.roll(far, 4, axis=0) & np.roll(far, -4, axis=0), False)
    far &= np.roll(far, 4, axis=1) & np.roll(far, -4, axis=1)
    for seed in range(12):
        made, mask = implanter.add(slab, _empty(), MM, np.random.default_rng(seed))
        np.testing.assert_array_equal(made[far], slab[far])
        assert not mask[far].any()


def test_a_lesion_that_was_there_is_neither_covered_nor_touched() -> None:
    slab, mask = _head(), _empty()
    mask[80:110, 50:90] = 2
    implanter = Implanter(replace(PLAIN, count=(3, 3), blur_px=(0.4, 0.5), enhancement=(1.3, 1.4), oedema=0.0))
    for seed in range(12):
        made, marked = implanter.add(slab, mask, MM, np.random.default_rng(seed))
        np.testing.assert_array_equal(marked[mask > 0], 2)
        np.testing.assert_array_equal(made[mask > 0], slab[mask > 0])
        assert not marked[78:112, 48:92][mask[78:112, 48:92] == 0].any()


def test_distractors_are_bright_and_leave_the_mask_alone() -> None:
    brighter = []
    for seed in range(30):
        scene = _scene()
        paint_distractor(np.random.default_rng(seed), scene)
        assert not scene.mask.any()
        brighter.append((scene.values - _head() > 15).sum())
    assert np.mean(np.array(brighter) > 0) > 0.7


def test_kinds_and_sizes_come_in_the_shares_that_were_asked_for() -> None:
    implanter = Implanter(ImplantSettings())
    rng = np.random.default_rng(0)
    drawn = [implanter.draw_lesion(rng, 1.0) for _ in range(6000)]
    kinds = Counter(kind for kind, _ in drawn)
    asked = {
        "solid": 45,
        "ring": 22,
        "thin-rimmed cyst": 10,
        "cyst with mural nodule": 10,
        "multilocular cyst": 6,
        "cluster": 7,
    }
    for name, percent in asked.items():
        assert kinds[Kind(name)] / len(drawn) == pytest.approx(percent / 100, abs=0.02)
    sizes = np.array([diameter for _, diameter in drawn])
    assert (sizes < 10).mean() == pytest.approx(0.60, abs=0.02)
    assert (sizes >= 25).mean() == pytest.approx(0.15, abs=0.02)
    assert sizes.min() >= 2
    assert sizes.max() <= 55


def test_a_lesion_too_thin_for_the_slices_is_not_drawn() -> None:
    implanter = Implanter(ImplantSettings())
    rng = np.random.default_rng(0)
    assert min(implanter.draw_lesion(rng, 6.0)[1] for _ in range(500)) == pytest.approx(3.6, abs=0.2)


@pytest.mark.parametrize(("neighbours", "alike"), [(0.0, True), (1.0, False)])
def test_a_lone_slice_stays_lone_or_gets_neighbours(neighbours: float, alike: bool) -> None:
    settings = replace(
        _only(Kind.SOLID, 12.0), enhancement=(1.6, 1.6), lone_neighbours=neighbours, lone_slice_mm=(3.0, 3.0)
    )
    slab, mask = Implanter(settings).add(_lone_head(), _empty(), MM, np.random.default_rng(3))
    assert mask.any()
    assert (slab[..., 0] == slab[..., 1]).all() == alike
    lesion = mask > 0
    means = slab[lesion].mean(axis=0)
    assert means[1] > 1.2 * WHITE
    assert (abs(means[0] - means[2]) > 0) != alike


def test_grey_values_are_scaled_again_where_a_large_lesion_outshines_the_head() -> None:
    bright = np.where(_head() > 60, np.uint8(190), _head())
    settings = replace(_only(Kind.SOLID, 45.0), enhancement=(2.2, 2.3))
    slab, mask = Implanter(settings).add(bright, _empty(), MM, np.random.default_rng(4))
    assert mask.sum() > 500
    assert np.median(slab[80:120, 20:40, 1]) < 160
    assert (slab[mask > 0] == 255).mean() < 0.2


def _real_case() -> PreparedCase:
    slab, mask = _head(), _empty()
    x, y = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(x - 96, y - 55)
    mask[away < 20] = 1
    pixels = slab[..., 1].copy()
    pixels[(away < 20) & (away > 14)] = 200
    pixels[away <= 14] = 60
    return PreparedCase("real", pixels[None], mask[None], np.arange(1), (95.5, 95.5))


def test_only_tumours_that_enhance_are_cut_out() -> None:
    case = _real_case()
    (tumour,) = collect_tumours([case, replace(case, mask=np.zeros_like(case.mask))], np.random.default_rng(0))
    assert tumour.diameter_px == pytest.approx(40, abs=1)
    assert tumour.peak == pytest.approx(200 / WHITE, abs=0.1)
    dark = np.where(case.mask[0] > 0, np.uint8(60), case.pixels[0])
    assert cut_out(dark, case.mask[0]) is None


@pytest.mark.parametrize("diameter_mm", [8.0, 16.0, 24.0])
def test_a_pasted_tumour_has_the_size_that_was_asked_for(diameter_mm: float) -> None:
    bank: tuple[Tumour, ...] = collect_tumours([_real_case()], np.random.default_rng(0))
    settings = replace(PLAIN, count=(1, 1), pasted=1.0, pasted_mm=(diameter_mm, diameter_mm))
    for seed in range(5):
        made = Implanter(settings, bank).paint(_head(), _empty(), MM, np.random.default_rng(seed))
        (implant,) = made.implants
        assert implant.kind is Kind.PASTED
        assert np.sqrt(made.mask.sum() * 4 / np.pi) == pytest.approx(diameter_mm, rel=0.12)
        assert made.slab[..., 1][made.mask > 0].max() > 1.15 * WHITE
