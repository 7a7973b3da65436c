"""Puts the centre of a lesion into the words that the document and the page show alike.

Coordinates carry no letters: they count from the file's origin, which may lie beside the middle of the head, so a
letter would contradict the hemisphere.
"""

from typing import Final

from metseg.schemas.report import Lesion

CENTRE_NOTE: Final = (
    "Centre: x, y, z in mm of the file's RAS+ coordinates, which grow to the right, to the front and to the head. "
    "Their zero need not be the middle of the head, so they do not tell the side."
)


def centre_text(lesion: Lesion) -> str | None:
    """Return the centroid, e.g. `-12, 3, 40` in RAS+ mm or `column 50, row 40` of a picture; None if unknown."""
    if lesion.centroid_ras_mm is not None:
        return ", ".join(str(round(mm)) for mm in lesion.centroid_ras_mm)
    if lesion.centroid_px is not None:
        column, row = lesion.centroid_px
        return f"column {column:.0f}, row {row:.0f}"
    return None
