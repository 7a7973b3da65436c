"""How much of an epoch comes from where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """How much of an epoch comes from one source.

    Attributes:
        slices: Slices of each epoch.
        lesion_fraction: Share of them that shows a lesion, where the source has slices of both kinds.
        lone: Chance that a slice stands in for its neighbours, as in a picture.
        implants: Chance that lesions and distractors are painted into a slice.
        pasted: Whether its tumours are also pasted small where implants are painted, in any source.
        slice_mm: Distance of slices as implants have it; None takes that of the case.
    """

    slices: int
    lesion_fraction: float = 1.0
    lone: float = 0.0
    implants: float = 0.0
    pasted: bool = False
    slice_mm: float | None = None
