"""The position in space that a NIfTI header tells, read as the field's other programs read it.

Field names follow the NIfTI-1 standard (nifti1.h); what its reference implementation (nifti1_io.c) forgives is
forgiven here. A header is mended before it is used, so that results carry one that every program can read.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from nibabel import Nifti1Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from metseg.errors import GeometryError, MetsegError
from metseg.imaging.volume import checked_affine

Header = Nifti1Header
"""Either version: nibabel derives the header of NIfTI-2 from that of NIfTI-1."""

Affine = NDArray[np.float64]

MM_PER_UNIT: Final = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
LARGEST_SQUARED_LENGTH: Final = 1.01
"""Of a quaternion's b, c and d, which make a turn by half a circle at a length of 1; numbers that were rounded to
three places miss it by 0.002."""
WIDEST_MM: Final = 1000.0
"""Of what is read: more than any head with its neck, less than a head whose millimetres are taken for metres."""

UNPLACED: Final = "The file does not say where left and right are (no sform, no qform): check the side."
BY_QFORM: Final = (
    "One of the file's two positions in space (sform) cannot be used, so the other (qform) was taken."
)
CONTRADICTORY: Final = (
    "The file's two positions in space (sform and qform) contradict each other on left and right; the sform was "
    "taken: check the side."
)


def mended(header: Header) -> Header:
    """Return the header with a position that can be computed, where that can be done without guessing.

    A `pixdim[0]` that is neither 1 nor -1 becomes 1, or -1 where it is negative; a quaternion a trifle longer than
    1 becomes 1 long; an sform that spans no space is dropped where the qform spans one.
    """
    found: Header = header.copy()
    qfac = float(found["pixdim"][0])
    if np.isfinite(qfac):
        found["pixdim"][0] = -1.0 if qfac < 0 else 1.0
    quaternion = np.array([found[f"quatern_{name}"] for name in "bcd"], dtype=np.float64)
    squared = float(quaternion @ quaternion)
    if 1 < squared <= LARGEST_SQUARED_LENGTH:
        for name, value in zip("bcd", quaternion / np.sqrt(squared), strict=True):
            found[f"quatern_{name}"] = value
    if int(found["sform_code"]) > 0 and _sound(found, found.get_sform) is None and _qform(found) is not None:
        found["sform_code"] = 0
    return found


def affine_mm(header: Header, shape: tuple[int, int, int]) -> Affine:
    """Return what takes voxel indices to millimetres.

    Args:
        header: As `mended` returns it.
        shape: Voxels along each axis.

    Raises:
        GeometryError: There is none, or the image would be metres in size.
    """
    try:
        affine = _in_mm(header, header.get_best_affine())
    except (ValueError, HeaderDataError, np.linalg.LinAlgError) as exc:
        raise GeometryError("the header's position in space (sform, qform) cannot be computed") from exc
    widest = float(np.max(np.linalg.norm(affine[:3, :3], axis=0) * shape))
    if WIDEST_MM < widest < np.inf:
        raise GeometryError(
            f"expected an image of a head, at most {WIDEST_MM / 1000:g} m in size, but by its header (spacing and "
            f"units) it is {widest / 1000:.4g} m"
        )
    return affine


def placement_warnings(header: Header, source: Header) -> tuple[str, ...]:
    """Return what is doubtful about left and right.

    Args:
        header: As `mended` returned it.
        source: As it came.
    """
    if not is_placed(header):
        return (UNPLACED,)
    if int(header["sform_code"]) != int(source["sform_code"]):
        return (BY_QFORM,)
    sform, qform = _sound(header, header.get_sform), _qform(header)
    if int(header["sform_code"]) > 0 and sform is not None and qform is not None and _contradict(sform, qform):
        return (CONTRADICTORY,)
    return ()


def is_placed(header: Header) -> bool:
    """Whether a header says where left and right are."""
    return int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0


def _contradict(one: Affine, other: Affine) -> bool:
    """Whether the patient's right lies on opposite sides of the voxels, or one is the other's mirror image."""
    rights = [affine[0, :3] / np.linalg.norm(affine[:3, :3], axis=0) for affine in (one, other)]
    mirrored = np.linalg.det(one[:3, :3]) * np.linalg.det(other[:3, :3]) < 0
    return bool(rights[0] @ rights[1] < 0 or mirrored)


def _qform(header: Header) -> Affine | None:
    return _sound(header, header.get_qform) if int(header["qform_code"]) > 0 else None


def _sound(header: Header, read: Callable[[], object]) -> Affine | None:
    try:
        return checked_affine(_in_mm(header, read()))
    except (ValueError, HeaderDataError, np.linalg.LinAlgError, MetsegError):
        return None


def _in_mm(header: Header, affine: object) -> Affine:
    scaled = np.array(affine, dtype=np.float64)
    scaled[:3] *= MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    return scaled
