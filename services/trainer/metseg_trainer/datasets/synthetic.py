"""What the truth beside a synthetic scan says of its lesions and its head."""

import json
from dataclasses import dataclass

from metseg.errors import InputError
from metseg_trainer.datasets.cases import Case

PHANTOM_LAYOUT = "phantom"


@dataclass(frozen=True)
class SyntheticTruth:
    """One synthetic scan.

    Attributes:
        stripped: Whether the head has no skull.
        kinds: Kind of each lesion, from number 1 on.
        diameters_mm: Diameter of each by construction.
    """

    stripped: bool
    kinds: tuple[str, ...]
    diameters_mm: tuple[float, ...]


def read_synthetic_truth(case: Case) -> SyntheticTruth | None:
    """Read the truth of a case; None where it is no synthetic scan.

    Raises:
        InputError: The truth is missing or cannot be read.
    """
    if case.layout != PHANTOM_LAYOUT:
        return None
    path = case.image.parents[1] / "truth" / f"{case.name}.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings, lesions = document["settings"], document["lesions"]
        return SyntheticTruth(
            # Scans written before skulls could be stripped from a finished head only say whether it is bare.
            stripped=bool(settings.get("stripped", settings["bare"])),
            kinds=tuple(str(lesion["kind"]) for lesion in lesions),
            diameters_mm=tuple(float(lesion["diameter_mm"]) for lesion in lesions),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path} is no truth of a synthetic scan; write the set again.") from exc
