"""Below the brain no lesions are searched, whatever the orientation of the file, and the report says so."""

from dataclasses import replace
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from phantoms import affine_of, centred

from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg_worker.anatomy.neck import DEEPEST_BRAIN_MM, NOTICE, anatomy_of
from metseg_worker.outputs.report import neck_notices

ORIENTATIONS = [codes for order in permutations(("LR", "PA", "SI")) for codes in product(*order)][::5]


def head_and_neck(codes: tuple[str, ...], length_mm: float, *, air_mm: float = 20.0) -> Scan:
    """A block of head 150 mm wide that ends at the lower end of the scan."""
    spacing = dict(zip("LRPAIS", (3.0, 3.0, 3.0, 3.0, 4.0, 4.0), strict=True))
    sizes = dict(zip("LRPAIS", (70, 70, 80, 80, *[round((length_mm + air_mm) / 4)] * 2), strict=True))
    shape = tuple(sizes[code] for code in codes)
    affine = centred(affine_of(codes, tuple(spacing[code] for code in codes)), shape, np.zeros(3))
    volume = Volume(np.zeros(shape, np.float32), affine)
    points = volume.world(np.argwhere(np.ones(shape, bool)))
    top = points[:, 2].max() - air_mm
    inside = (abs(points[:, 0]) < 75) & (abs(points[:, 1]) < 90) & (points[:, 2] <= top)
    values = np.where(inside, 100.0, 0.0).astype(np.float32).reshape(shape)
    return Scan(volume.with_array(values), ScanKind.NIFTI)


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_voxels_too_deep_for_brain_are_left_out_in_every_orientation(codes: tuple[str, ...]):
    scan = head_and_neck(codes, 232)
    anatomy = anatomy_of(scan)
    assert anatomy is not None
    assert anatomy.below_brain is not None
    heights = scan.volume.world(np.argwhere(np.ones(scan.volume.shape, bool)))[:, 2].reshape(scan.volume.shape)
    top = heights[scan.volume.array > 0].max()
    assert not anatomy.below_brain[heights > top - DEEPEST_BRAIN_MM + 6].any()
    assert anatomy.below_brain[heights < top - DEEPEST_BRAIN_MM - 6].all()
    assert neck_notices(anatomy) == [NOTICE]


@pytest.mark.parametrize(("length_mm", "air_mm"), [(160, 20.0), (232, 0.0)], ids=["short", "top not seen"])
def test_nothing_is_left_out_where_no_neck_or_no_top_is_seen(length_mm: float, air_mm: float):
    anatomy = anatomy_of(head_and_neck(("R", "A", "S"), length_mm, air_mm=air_mm))
    assert anatomy is not None
    assert anatomy.below_brain is None
    assert neck_notices(anatomy) == []


def test_nothing_is_left_out_where_the_file_does_not_say_which_way_is_up():
    header = nib.Nifti1Header()  # neither sform nor qform
    scan = replace(head_and_neck(("R", "A", "S"), 232), nifti_header=header.binaryblock)
    assert not scan.knows_sides
    anatomy = anatomy_of(scan)
    assert anatomy is not None
    assert anatomy.below_brain is None
