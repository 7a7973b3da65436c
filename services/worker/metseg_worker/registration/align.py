"""Lays an earlier scan upon the later one in a confined process, so that the worker never loads SimpleITK.

`main` runs in that process. It gets pixels that were read before, no file that came.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from metseg.errors import InputError
from metseg.imaging.volume import Volume
from metseg.jobs.previous_errors import RegistrationError
from metseg.schemas.follow_up import Alignment
from metseg_worker.sandbox.parent import ChildLimits, run_confined

LIMITS: Final = ChildLimits(cpu_s=240, wall_s=480)
SMALLEST_OVERLAP: Final = 0.5
SMALLEST_CORRELATION: Final = 0.5
"""A head that was turned and scanned again reaches 0.97, that of another phantom 0.16."""
DOUBTFUL_CORRELATION: Final = 0.75
"""A phantom registered to its mirror image reached 0.64, without the blur."""
ALIGNMENT: Final = "alignment.json"


def align(now: Volume, before: Volume, folder: Path, *, check: Callable[[], None]) -> Alignment:
    """How the head of a later scan lies in an earlier one.

    Args:
        now: The later scan.
        before: The earlier one.
        folder: Empty; takes the hand-over.
        check: As for `run_confined`.

    Raises:
        RegistrationError: the two do not fit, or could not be compared within the limits.
    """
    affines = {}
    for name, volume in (("now", now), ("before", before)):
        np.save(folder / f"{name}.npy", volume.array, allow_pickle=False)
        affines[name] = volume.affine.tolist()
    given = {"folder": str(folder), "affines": affines}
    try:
        run_confined(__name__, folder, given, check=check, limits=LIMITS)
    except InputError as exc:
        raise RegistrationError(
            "The earlier scan could not be registered to this one within the time and memory that are allowed."
        ) from exc
    return checked(Alignment.model_validate_json((folder / ALIGNMENT).read_bytes()))


def checked(alignment: Alignment) -> Alignment:
    """The alignment, if it may be trusted.

    Raises:
        RegistrationError: the heads hardly overlap, or do not look alike.
    """
    if alignment.head_overlap < SMALLEST_OVERLAP:
        raise RegistrationError(
            "The earlier scan could not be registered to this one: expected the one head to cover at least "
            f"{SMALLEST_OVERLAP:.0%} of the other, got {alignment.head_overlap:.0%}."
        )
    if alignment.correlation < SMALLEST_CORRELATION:
        raise RegistrationError(
            "The earlier scan could not be registered to this one: expected the same head in the same kind of "
            f"image (a correlation of at least {SMALLEST_CORRELATION:g}), got {alignment.correlation:.2f}."
        )
    return alignment


def main(given: dict[str, Any]) -> None:
    """Align the two scans of a folder; runs in the confined process."""
    from metseg_worker.registration.rigid import register, similarity  # loads SimpleITK, for this process alone

    folder = Path(given["folder"])
    now, before = (
        Volume(np.load(folder / f"{name}.npy", allow_pickle=False), np.array(given["affines"][name]))
        for name in ("now", "before")
    )
    motion = register(now, before)
    overlap, correlation = similarity(now, before, motion)
    cosine = np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1)
    middle = now.world((np.array(now.shape)[None] - 1) / 2)[0]
    alignment = Alignment(
        to_previous_ras_mm=motion.tolist(),
        rotation_degrees=float(np.degrees(np.arccos(cosine))),
        shift_mm=float(np.linalg.norm(motion[:3, :3] @ middle + motion[:3, 3] - middle)),
        head_overlap=overlap,
        correlation=correlation,
    )
    (folder / ALIGNMENT).write_text(alignment.model_dump_json(), encoding="utf-8")
