"""Where a scan shows face and neck but no brain.

In six heads of healthy adults the cerebellum ended 140 to 155 mm below the top of the head (decision 36). Nothing
that lies deeper than `DEEPEST_BRAIN_MM` is in the brain, with room for a nodded head.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metseg.imaging.scan import Scan
from metseg_worker.anatomy.head import Head, find_head

DEEPEST_BRAIN_MM: Final = 170.0
LEAST_NECK_MM: Final = 10.0
"""A thinner layer below that is not worth a sentence."""

NOTICE: Final = (
    "The scan shows face or neck: lesions are searched down to "
    f"{DEEPEST_BRAIN_MM:.0f} mm below the top of the head."
)


def below_brain(scan: Scan, head: Head) -> NDArray[np.bool_] | None:
    """Voxels (x, y, z) of the source grid that lie too deep to be brain.

    Returns:
        None where there are none, where the file does not say which way is up, and where the top of the head is
        not seen, for the depth is then unknown.
    """
    if not scan.knows_sides or not head.has_surface:
        return None
    levels = np.flatnonzero(head.inside.any(axis=(0, 1)))
    if levels[-1] == head.inside.shape[2] - 1:
        return None
    top_mm = head.grey.world(np.array([(0, 0, levels[-1] + 0.5)]))[0, 2]
    indices = [np.arange(count, dtype=float) for count in scan.volume.shape]
    steps = scan.volume.affine[2]
    heights = np.add.outer(np.add.outer(indices[0] * steps[0], indices[1] * steps[1]), indices[2] * steps[2])
    below = heights + steps[3] < top_mm - DEEPEST_BRAIN_MM
    lowest_mm = float(heights.min() + steps[3])
    return np.asarray(below) if top_mm - DEEPEST_BRAIN_MM - lowest_mm >= LEAST_NECK_MM else None


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What a volume shows.

    Attributes:
        head: Its head.
        below_brain: As `below_brain` finds it.
    """

    head: Head
    below_brain: NDArray[np.bool_] | None


def anatomy_of(scan: Scan) -> Anatomy | None:
    """Look at a volume once; None for a picture."""
    if scan.is_picture:
        return None
    head = find_head(scan.volume)
    return Anatomy(head, below_brain(scan, head))
