"""Which of several series is segmented: the one asked for, or the T1 with contrast agent if there is but one.

Only the chosen series must be sound. The others, and files of which nothing can be read, are named as left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from metseg.imaging.series_errors import MixedPatientsError, SeriesUnclearError, SeriesUnknownError
from metseg.schemas.fields import SERIES_UID
from metseg.schemas.job import FoundSeries
from metseg_worker.readers.dicom.headers import ImageFile, UnusableFile
from metseg_worker.readers.dicom.weighting import Weighting, has_agent, is_reformat, weighting_of

LONGEST_UID: Final = 64
"""PS3.5, section 9."""
FEWEST_SLICES: Final = 3
"""A series of fewer slices is a localizer or a screenshot where there is a longer one."""
MOST_LISTED: Final = 20
"""More series than these are only counted."""


@dataclass(frozen=True)
class Series:
    """The images of one SeriesInstanceUID, of which there is at least one.

    Attributes:
        uid: The SeriesInstanceUID.
        files: Images that can be used.
        unusable: Images that cannot.
    """

    uid: str
    files: tuple[ImageFile, ...]
    unusable: tuple[UnusableFile, ...] = ()

    @property
    def number(self) -> int | None:
        """The number that the scanner shows."""
        return (self.files or self.unusable)[0].series_number

    @property
    def slices(self) -> int:
        """How many slices can be used."""
        return sum(len(file.planes) for file in self.files)

    @cached_property
    def weighting(self) -> Weighting:
        """What tissue looks like in its first image."""
        return weighting_of(self.texts, self.files[0].times_ms) if self.files else Weighting.UNKNOWN

    @cached_property
    def has_agent(self) -> bool | None:
        """Whether a contrast agent was given; None where the header does not tell."""
        return has_agent(self.texts)

    @cached_property
    def is_reformat(self) -> bool:
        """Whether it was resampled from another series."""
        return is_reformat(self.texts)

    @cached_property
    def texts(self) -> dict[str, str]:
        """Texts of its first image, in lower case; to be searched for known words, and never to be shown."""
        return {name: text.replace("_", " ") for name, text in self.files[0].texts.items()}

    @property
    def named(self) -> str:
        """The series for people, without a word of its free texts."""
        number = "no number" if self.number is None else f"number {self.number}"
        details = []
        if self.files:
            details = [self._kind, f"{self.slices} image{'s' * (self.slices != 1)}"]
        if self.unusable:
            count = len(self.unusable)
            details.append(f"{count} unusable image{'s' * (count != 1)}: {self.unusable[0].error}")
        return f"{number} ({', '.join(details)})"

    @property
    def found(self) -> FoundSeries:
        """The series for the sender's choice; its UID must have the form of one."""
        return FoundSeries(
            uid=self.uid,
            number=self.number,
            images=self.slices,
            is_t1=self.weighting is Weighting.T1,
            has_agent=self.has_agent,
        )

    @property
    def _kind(self) -> str:
        if self.weighting is not Weighting.T1:
            return "other"
        agent = " with contrast agent" if self.has_agent else ""
        return f"T1{agent}{', reformatted' if self.is_reformat else ''}"


def choose_series(
    files: Sequence[ImageFile], unusable: Sequence[UnusableFile], series_uid: str | None
) -> tuple[Series, tuple[str, ...]]:
    """Choose the series to segment.

    Args:
        files: Images that can be used.
        unusable: Images that cannot; with `files` at least one.
        series_uid: The one asked for; None leaves the choice to the headers.

    Returns:
        The series, of which each image can be used, and sentences for the report on what was left out.

    Raises:
        MixedPatientsError: The chosen series, or without a UID any two, are of more than one patient.
        SeriesUnknownError: None has the UID that was asked for.
        SeriesUnclearError: Several could be meant.
        InputError: An image of the chosen series cannot be used.
    """
    series = _grouped(files, unusable)
    chosen = _meant(series, unusable) if series_uid is None else _asked_for(series, series_uid)
    if chosen.unusable:
        raise chosen.unusable[0].error
    _check_patients(chosen.files)
    strays = [file for file in unusable if file.series_uid is None]
    return chosen, (*_said_of_series(chosen, series), *_said_of_strays(strays))


def _grouped(files: Sequence[ImageFile], unusable: Sequence[UnusableFile]) -> list[Series]:
    uids = dict.fromkeys([file.series_uid for file in files])
    uids |= dict.fromkeys([file.series_uid for file in unusable if file.series_uid is not None])
    return [
        Series(
            uid,
            tuple(file for file in files if file.series_uid == uid),
            tuple(file for file in unusable if file.series_uid == uid),
        )
        for uid in uids
    ]


def _asked_for(series: Sequence[Series], series_uid: str) -> Series:
    for one in series:
        if one.uid == series_uid:
            return one
    raise SeriesUnknownError(f"expected the series that its UID names, got {_listed(series)}", _choosable(series))


def _meant(series: Sequence[Series], unusable: Sequence[UnusableFile]) -> Series:
    """The one series that can be used, or the one T1 with contrast agent; an original before its reformats."""
    usable = [one for one in series if one.files]
    if not usable:
        raise unusable[0].error
    _check_patients([file for one in usable for file in one.files])
    enhanced = [
        one for one in usable if one.slices >= FEWEST_SLICES and one.weighting is Weighting.T1 and one.has_agent
    ]
    meant = [one for one in enhanced if not one.is_reformat] or enhanced
    if len(meant) == 1:
        return meant[0]
    if len(usable) > 1:
        raise SeriesUnclearError(
            f"expected one T1 series with contrast agent, got {_listed(series)}; "
            "send one of them alone, or name it by its UID",
            _choosable(series),
        )
    largest = max(series, key=lambda one: len(one.unusable))
    if len(largest.unusable) > usable[0].slices:
        raise largest.unusable[0].error  # the scan itself, beside a localizer, say
    return usable[0]


def _check_patients(files: Sequence[ImageFile]) -> None:
    if len({file.patient for file in files}) > 1:
        raise MixedPatientsError(
            "expected images of one patient, got those of several (or of one under two names)"
        )


def _said_of_series(chosen: Series, series: Sequence[Series]) -> list[str]:
    if len(series) == 1:
        return []
    others = [one for one in series if one is not chosen]
    return [f"Of {len(series)} series, {chosen.named} was segmented. Left out: {_names(others)}."]


def _said_of_strays(strays: Sequence[UnusableFile]) -> list[str]:
    if not strays:
        return []
    files = "1 DICOM file" if len(strays) == 1 else f"{len(strays)} DICOM files"
    return [f"Left out {files} whose series cannot be told: {strays[0].error}."]


def _choosable(series: Sequence[Series]) -> list[FoundSeries]:
    """Those with images that can be named: a damaged UID cannot."""
    named = [one for one in series if len(one.uid) <= LONGEST_UID and re.match(SERIES_UID, one.uid)]
    return [one.found for one in _shown([one for one in named if one.files])]


def _shown(series: Sequence[Series]) -> list[Series]:
    return sorted(series, key=lambda one: one.number or 0)[:MOST_LISTED]


def _listed(series: Sequence[Series]) -> str:
    return f"{len(series)} series: {_names(series)}"


def _names(series: Sequence[Series]) -> str:
    shown = _shown(series)
    more = f" and {len(series) - len(shown)} more" if len(series) > len(shown) else ""
    return f"{', '.join(one.named for one in shown)}{more}"
