"""What can be wrong with a set of DICOM images: the tree of `metseg.errors` below `SeriesError`.

SeriesError                  series_unusable
├─ SeriesUnclearError        series_unclear
│  └─ SeriesUnknownError     series_unknown
├─ MixedPatientsError        series_patients
├─ MixedSlicesError          series_mixed
├─ MissingSlicesError        series_gap
├─ DuplicateSlicesError      series_duplicate
├─ UnevenSlicesError         series_uneven
└─ TiltedSlicesError         series_tilted
"""

from collections.abc import Sequence

from metseg.errors import SeriesError
from metseg.schemas.job import FoundSeries


class SeriesUnclearError(SeriesError):
    """Several series came, and which one is meant cannot be told.

    Args:
        message: The sentence.
        series: What can be chosen from.
    """

    code = "series_unclear"

    def __init__(self, message: str, series: Sequence[FoundSeries] = ()) -> None:
        super().__init__(message)
        self.series = tuple(series)


class SeriesUnknownError(SeriesUnclearError):
    """The series that was asked for is not among those that came."""

    code = "series_unknown"


class MixedPatientsError(SeriesError):
    """The images belong to more than one patient."""

    code = "series_patients"


class MixedSlicesError(SeriesError):
    """The images differ in what all slices of a volume share: orientation, size, spacing."""

    code = "series_mixed"


class MissingSlicesError(SeriesError):
    """Slices are missing within the series."""

    code = "series_gap"


class DuplicateSlicesError(SeriesError):
    """Several images lie at one place: copies, echoes or points in time."""

    code = "series_duplicate"


class UnevenSlicesError(SeriesError):
    """The distances between slices differ."""

    code = "series_uneven"


class TiltedSlicesError(SeriesError):
    """The slices are shifted against each other, as by a tilted gantry."""

    code = "series_tilted"
