"""The phantom: what its truth says is what its voxels show."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from metseg.imaging.volume import Volume
from metseg_trainer.phantom import (
    PRESETS,
    LesionKind,
    Phantom,
    PhantomPreset,
    all_axcodes,
    make_phantom,
    reoriented,
)
from metseg_trainer.phantom.anatomy import load_template
from metseg_trainer.phantom.grid import draw_grid
from metseg_trainer.phantom.placement import draw_lesions, place_lesions

SEEDS = range(8)


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(seed, "small") for seed in SEEDS]


@pytest.fixture(scope="module")
def sharp() -> Phantom:
    """All three kinds on a fine grid without noise, shading or tilt."""
    preset = PhantomPreset(
        thick_share=0.0,
        thin_in_plane_mm=(1.0, 1.0),
        template_step=3,
        noise=(0.0, 0.0),
        bias=(0.0, 0.0),
        oblique_share=1.0,
        stored_axes=("PSR",),
        any_axes_share=0.0,
        bare_brain_share=0.0,
        lesions=(
            (LesionKind.RING, 26.0),
            (LesionKind.CYSTIC, 20.0),
            (LesionKind.SOLID, 12.0),
            (LesionKind.SOLID, 4.0),
        ),
    )
    return make_phantom(7, preset)


def centroid_mm(labels: Volume, label: int) -> np.ndarray:
    return labels.world(np.argwhere(labels.array == label).mean(axis=0)[None])[0]


def test_a_seed_makes_the_same_phantom_again(phantoms):
    again = make_phantom(3, "small")
    assert np.array_equal(again.scan.array, phantoms[3].scan.array)
    assert np.array_equal(again.labels.array, phantoms[3].labels.array)
    assert np.array_equal(again.scan.affine, phantoms[3].scan.affine)
    assert again.truth == phantoms[3].truth


def test_two_seeds_make_two_phantoms(phantoms):
    assert not np.array_equal(phantoms[0].scan.affine, phantoms[1].scan.affine)


def test_the_scan_is_int16_on_the_grid_of_its_labels(phantoms):
    for phantom in phantoms:
        assert phantom.scan.array.dtype == np.int16
        assert phantom.labels.array.dtype == np.uint16
        assert phantom.scan.shape == phantom.labels.shape
        assert np.array_equal(phantom.scan.affine, phantom.labels.affine)


def test_some_scans_have_no_lesion_and_some_have_several():
    preset = PhantomPreset(template_step=3, thick_share=0.0, thin_in_plane_mm=(4.0, 4.0), no_lesion_share=0.3)
    counts = [len(make_phantom(seed, preset).truth) for seed in range(8)]
    assert min(counts) == 0
    assert max(counts) >= 3


def test_labels_are_numbered_from_the_largest_lesion_and_none_is_lost(phantoms):
    for phantom in phantoms:
        diameters = [lesion.diameter_mm for lesion in phantom.truth]
        assert diameters == sorted(diameters, reverse=True)
        assert [lesion.label for lesion in phantom.truth] == list(range(1, len(diameters) + 1))
        assert set(np.unique(phantom.labels.array)) == set(range(len(diameters) + 1))


def test_the_voxels_of_each_lesion_have_its_volume_and_centre(sharp):
    assert len(sharp.truth) == 4
    for lesion in sharp.truth:
        voxels = np.count_nonzero(sharp.labels.array == lesion.label) * sharp.labels.voxel_mm3
        assert lesion.volume_mm3 == pytest.approx(np.pi / 6 * lesion.diameter_mm**3)
        assert voxels == pytest.approx(lesion.volume_mm3, rel=0.04 if lesion.diameter_mm > 10 else 0.25)
        assert voxels == pytest.approx(lesion.voxels_mm3)
        assert np.linalg.norm(centroid_mm(sharp.labels, lesion.label) - lesion.centre_ras_mm) < 0.3


def test_each_lesion_is_as_long_in_a_slice_as_its_truth_says(sharp):
    for lesion in sharp.truth:
        labels = reoriented(sharp.labels, "RAS")
        longest = 0.0
        for z in range(labels.shape[2]):
            points = np.argwhere(labels.array[..., z] == lesion.label)
            if len(points) > 1:
                apart = points[:, None] - points[None]
                longest = max(longest, np.sqrt((apart**2).sum(axis=-1)).max())
        assert longest + 0.6 == pytest.approx(lesion.longest_axial_mm, abs=1.2)


def test_rings_and_cysts_are_bright_at_the_rim_and_dark_inside_and_solid_ones_bright(sharp):
    for lesion in sharp.truth[:3]:
        inside = sharp.labels.array == lesion.label
        depth = ndimage.distance_transform_edt(inside)
        rim = np.median(sharp.scan.array[(depth > 0) & (depth <= 1.5)])
        core = np.median(sharp.scan.array[depth > 0.75 * depth.max()])
        assert (core > 0.9 * rim) == (lesion.kind is LesionKind.SOLID), lesion


def test_lesions_are_brighter_than_the_brain_around_them(sharp):
    for lesion in sharp.truth:
        inside = sharp.labels.array == lesion.label
        bright = np.percentile(sharp.scan.array[inside], 90)
        around = ndimage.binary_dilation(inside, iterations=5) & (sharp.labels.array == 0)
        assert bright > 1.1 * np.median(sharp.scan.array[around])


def test_lesions_lie_apart_from_each_other(phantoms):
    for phantom in phantoms:
        components = ndimage.label(phantom.labels.array > 0, np.ones((3, 3, 3)))[1]
        assert components == len(phantom.truth)


def test_vessels_and_scalp_are_as_bright_as_lesions_and_are_not_in_the_mask():
    preset = PhantomPreset(
        template_step=3,
        thick_share=0.0,
        thin_in_plane_mm=(2.0, 2.0),
        bare_brain_share=0.0,
        noise=(0.0, 0.0),
        lesions=((LesionKind.SOLID, 20.0),),
    )
    brighter = []
    for seed in range(5):
        phantom = make_phantom(seed, preset)
        lesion = phantom.labels.array > 0
        bright = phantom.scan.array > np.median(phantom.scan.array[lesion])
        brighter.append(np.count_nonzero(bright & ~lesion))
    assert np.median(brighter) > 1000


def test_the_head_fits_into_its_field_of_view(phantoms):
    for phantom in phantoms:
        scan = phantom.scan.to_ras()
        edges = [scan.array[0], scan.array[-1], scan.array[:, 0], scan.array[:, :, -1]]
        bright = np.percentile(scan.array, 99)
        assert max(np.median(edge) for edge in edges) < 0.15 * bright


def test_clinical_grids_are_thin_or_thick_and_at_most_256_mm_wide():
    rng = np.random.default_rng(1)
    grids = [draw_grid(rng, PRESETS["clinical"]) for _ in range(200)]
    in_plane, slices = ([grid.spacing_mm[axis] for grid in grids] for axis in (0, 2))
    assert min(in_plane) >= 0.45
    assert max(in_plane) <= 1.2
    assert min(slices) >= 0.9
    assert 4 < max(slices) <= 6
    assert 60 < sum(slice_mm > 1.5 for slice_mm in slices) < 140
    assert max(grid.shape[k] * grid.spacing_mm[k] for grid in grids for k in (0, 1)) < 257


def test_heads_are_mirrored_at_random_but_their_affines_never_are(phantoms):
    rng = np.random.default_rng(1)
    heads = [np.linalg.det(draw_grid(rng, PRESETS["small"]).pose.matrix) for _ in range(20)]
    assert min(heads) < 0 < max(heads)
    assert all(np.linalg.det(phantom.scan.to_ras().affine[:3, :3]) > 0 for phantom in phantoms)


def test_every_stored_order_of_axes_describes_the_same_world(phantoms):
    phantom = next(each for each in phantoms if len(each.truth) > 1)
    codes = all_axcodes()
    assert len(set(codes)) == 48
    for code in codes:
        labels = reoriented(phantom.labels, code)
        assert "".join(labels.orientation) == code
        for lesion in phantom.truth:
            assert np.allclose(centroid_mm(labels, lesion.label), centroid_mm(phantom.labels, lesion.label))


def test_reorienting_there_and_back_changes_nothing(phantoms):
    scan = phantoms[0].scan
    for code in ("LPS", "PSR", "SAL"):
        back = reoriented(reoriented(scan, code), "".join(scan.orientation))
        assert np.array_equal(back.array, scan.array)
        assert np.allclose(back.affine, scan.affine)


def test_an_unknown_preset_is_refused():
    with pytest.raises(KeyError):
        make_phantom(1, "no such preset")


def test_the_template_is_a_brain_in_millimetres_around_the_commissure():
    template = load_template(3)
    middle = template.sample(template.depth, np.array([[0.0, -20.0, 10.0], [0.0, -20.0, 110.0]]))
    assert middle[0] < -35
    assert middle[1] > 10
    assert template.place_odds[-1] == pytest.approx(1)
    assert all((a <= b) for a, b in itertools.pairwise(template.place_odds[::5000]))


@pytest.mark.parametrize("thick_share", [0.0, 1.0])
def test_a_place_of_the_template_appears_where_the_pose_puts_it(thick_share: float):
    template = load_template(3)
    preset = PhantomPreset(template_step=3, thick_share=thick_share)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        grid = draw_grid(rng, preset)
        inside = np.abs(template.places[:, 2] - 20) < 40
        places = rng.permutation(template.places[inside])[:500].astype(np.float64)
        voxels = (grid.pose.to_grid(places) - grid.first_mm) / grid.spacing_mm
        shown = ndimage.map_coordinates(grid.warp(template, template.depth), voxels.T, order=1)
        assert np.abs(shown - template.sample(template.depth, places)).mean() < 0.5


def test_lesions_lie_in_the_brain_and_do_not_cross_the_midline():
    template = load_template(3)
    preset = PhantomPreset(template_step=3, lesions=tuple((LesionKind.SOLID, d) for d in (30.0, 20.0, 15.0, 10.0)))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        grid = draw_grid(rng, preset)
        for shape in place_lesions(rng, template, grid, draw_lesions(rng, preset, grid.spacing_mm[2])):
            around = shape.centre_mm + rng.uniform(-shape.reach_mm, shape.reach_mm, (4000, 3))
            places = grid.pose.to_template(around[shape.fill(around)[0]])
            voxels = (places - template.affine[:3, 3]) / template.step_mm
            depth = ndimage.map_coordinates(template.depth, voxels.T, order=1)
            assert np.mean(depth < 2) > 0.99
            assert np.mean(np.sign(places[:, 0]) == np.sign(places[:, 0].mean())) > 0.95 or shape.diameter_mm > 24
