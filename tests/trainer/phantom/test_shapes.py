"""Lesion shapes: volume, centre and extent are known by construction."""

import numpy as np
import pytest

from metseg_trainer.phantom.placement import draw_diameters, draw_kind
from metseg_trainer.phantom.presets import LesionKind, PhantomPreset
from metseg_trainer.phantom.shapes import LesionShape, draw_shape


def ball(diameter_mm: float, kind: LesionKind = LesionKind.SOLID, rim_mm: float = 1e3) -> LesionShape:
    none = np.zeros((1, 3))
    return LesionShape(
        kind,
        np.array([3.0, -2.0, 1.0]),
        diameter_mm,
        rim_mm,
        np.eye(3),
        none,
        np.zeros(1),
        np.zeros(1),
        np.zeros(1),
    )


def filled(shape: LesionShape, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    line = np.arange(-shape.reach_mm, shape.reach_mm + step_mm, step_mm)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3) + shape.centre_mm
    whole, core = shape.fill(points)
    return points[whole], points[core]


@pytest.mark.parametrize("seed", range(8))
def test_a_drawn_shape_has_the_volume_and_the_centre_it_claims(seed):
    shape = draw_shape(np.random.default_rng(seed), LesionKind.RING, np.array([5.0, 6.0, 7.0]), 20.0)
    points, _ = filled(shape, 0.5)
    assert len(points) * 0.5**3 == pytest.approx(shape.volume_mm3, rel=0.01)
    assert np.linalg.norm(points.mean(axis=0) - shape.centroid_mm) < 0.05


@pytest.mark.parametrize("seed", range(8))
def test_no_point_of_a_shape_is_beyond_its_reach(seed):
    shape = draw_shape(np.random.default_rng(seed), LesionKind.SOLID, np.zeros(3), 15.0)
    line = np.linspace(-20, 20, 60)
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points[shape.fill(points)[0]]
    assert np.linalg.norm(inside, axis=1).max() <= shape.reach_mm


def test_a_ball_is_as_long_as_its_diameter():
    assert ball(12.0).longest_axial_mm() == pytest.approx(12.0, abs=0.3)


def test_the_core_of_a_ring_leaves_exactly_its_rim():
    whole, core = filled(ball(20.0, LesionKind.RING, rim_mm=3.0), 0.5)
    assert len(whole) * 0.125 == pytest.approx(np.pi / 6 * 20**3, rel=0.01)
    assert len(core) * 0.125 == pytest.approx(np.pi / 6 * 14**3, rel=0.02)


def test_a_solid_lesion_has_no_core():
    for seed in range(20):
        shape = draw_shape(np.random.default_rng(seed), LesionKind.SOLID, np.zeros(3), 10.0)
        assert len(filled(shape, 0.5)[1]) == 0


def test_rings_and_cysts_always_have_a_core():
    for seed, kind in [(seed, kind) for seed in range(20) for kind in (LesionKind.RING, LesionKind.CYSTIC)]:
        shape = draw_shape(np.random.default_rng(seed), kind, np.zeros(3), 9.0)
        assert len(filled(shape, 0.5)[1]) > 0, (seed, kind)


def test_many_lesions_are_small_and_all_are_within_2_to_40_mm():
    rng = np.random.default_rng(1)
    drawn = [d for _ in range(800) for d in draw_diameters(rng, PhantomPreset(), 1.0)]
    assert min(drawn) >= 2
    assert max(drawn) <= 40
    assert max(drawn) > 25
    assert 5 < np.median(drawn) < 8


def test_what_is_thinner_than_the_slices_is_not_drawn():
    rng = np.random.default_rng(1)
    assert min(d for _ in range(300) for d in draw_diameters(rng, PhantomPreset(), 6.0)) >= 3.6


def test_tiny_lesions_are_solid_and_large_ones_come_in_all_kinds():
    rng = np.random.default_rng(1)
    assert {draw_kind(rng, PhantomPreset(), 4.0) for _ in range(50)} == {LesionKind.SOLID}
    assert {draw_kind(rng, PhantomPreset(), 20.0) for _ in range(100)} == set(PhantomPreset().kinds)
