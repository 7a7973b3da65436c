"""Which of several series is segmented: the one asked for, or the T1 with contrast agent if there is but one.

What a series shows is told from its header: coded attributes first, and the words that scanners and technicians
write into the free ones. Free text is matched against known words and never repeated, as it may hold anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metseg.jobs import SERIES_UID, FoundSeries
from metseg.series_errors import MixedPatientsError, SeriesUnclearError, SeriesUnknownError
from metseg_worker.dicom_headers import ImageFile

LONGEST_UID: Final = 64
"""PS3.5, section 9."""
FEWEST_SLICES: Final = 3
"""A series of fewer slices is a localizer or a screenshot where there is a longer one."""
MOST_LISTED: Final = 20
"""More series than these are only counted in a refusal."""
LONGEST_T1_ECHO_MS: Final = 15.0
LONGEST_T1_REPETITION_MS: Final = 1000.0
"""T1 weighting needs a short echo and a short repetition; T2 and FLAIR echo at 80 ms and more."""

T1_WORDS: Final = re.compile(r"t1|mp-?rage|mp2rage|spgr|bravo|vibe|thrive|flash|tfe\b|lava")
OTHER_WORDS: Final = re.compile(
    r"t2|flair|stir|dwi|dti|diff|adc|trace|swi|swan|\bpd\b|tof|angio|perf|dsc|dce|asl|bold|fmri|spectro|"
    r"loc|scout|survey|smartbrain|phase|b0|field|\bsub|mask|mpr\b|mip\b"
)
AGENT_WORDS: Final = re.compile(
    r"\bgd|\+ ?gd|gado|dota|gadavist|magnevist|prohance|post|contrast|enhanced|\bce\b|\bc\+|\+c\b|\+ ?km|\bkm\b|"
    r"t1c|t1ce"
)
NO_AGENT_WORDS: Final = re.compile(r"\bpre|nativ|without|w/o|\bnon|\bno\b|ohne|plain|unenh|none|-c\b|\bc-")


@dataclass(frozen=True)
class Series:
    """The images of one SeriesInstanceUID."""

    files: tuple[ImageFile, ...]

    @property
    def uid(self) -> str:
        """Its SeriesInstanceUID."""
        return self.files[0].series_uid

    @property
    def slices(self) -> int:
        """How many slices it has."""
        return sum(len(file.planes) for file in self.files)

    @property
    def is_t1(self) -> bool:
        """Whether it is T1-weighted, by contrast or by words; where no word tells, by its times."""
        if self.is_other_contrast or "localizer" in self.text("ImageType"):
            return False
        return bool(T1_WORDS.search(self._contrast_words)) or self._has_t1_times

    @property
    def is_other_contrast(self) -> bool:
        """Whether words tell of something else than an image of T1 weighting."""
        return bool(OTHER_WORDS.search(self._contrast_words))

    @property
    def has_agent(self) -> bool | None:
        """Whether a contrast agent was given; None where the header does not tell."""
        agent = self.text("ContrastBolusAgent").strip()
        words = self.text("SeriesDescription", "ProtocolName")
        if NO_AGENT_WORDS.search(agent) or NO_AGENT_WORDS.search(words):
            return False
        return True if agent or AGENT_WORDS.search(words) else None

    @property
    def named(self) -> str:
        """The series for people, without a word of its free texts."""
        number = self.files[0].series_number
        known = "T1 with contrast agent" if self.is_t1 and self.has_agent else "T1" if self.is_t1 else "other"
        images = f"{self.slices} image{'s' * (self.slices != 1)}"
        return f"{'no number' if number is None else f'number {number}'} ({known}, {images})"

    @property
    def found(self) -> FoundSeries:
        """The series for the sender's choice; its UID must have the form of one."""
        return FoundSeries(
            uid=self.uid,
            number=self.files[0].series_number,
            images=self.slices,
            is_t1=self.is_t1,
            has_agent=self.has_agent,
        )

    @property
    def _has_t1_times(self) -> bool:
        echo_ms, repetition_ms = (self.files[0].numbers.get(name) for name in ("EchoTime", "RepetitionTime"))
        if not echo_ms or not repetition_ms:
            return False
        is_inverted = "InversionTime" in self.files[0].numbers  # MPRAGE: its repetition is that of the inversion
        return echo_ms <= LONGEST_T1_ECHO_MS and (repetition_ms <= LONGEST_T1_REPETITION_MS or is_inverted)

    @property
    def _contrast_words(self) -> str:
        return self.text("AcquisitionContrast", "SeriesDescription", "ProtocolName", "SequenceName")

    def text(self, *names: str) -> str:
        """Texts of its first image, in lower case; to be searched for known words, and never to be shown."""
        return " ".join(self.files[0].texts[name] for name in names).replace("_", " ")


def choose_series(files: Sequence[ImageFile], series_uid: str | None) -> tuple[Series, tuple[str, ...]]:
    """The series to segment, with warnings for the report.

    Args:
        files: One or more images' files.
        series_uid: The one asked for; None leaves the choice to the headers.

    Raises:
        MixedPatientsError: they are of more than one patient.
        SeriesUnknownError: none has the UID that was asked for.
        SeriesUnclearError: several could be meant.
    """
    if len({file.patient for file in files}) > 1:
        raise MixedPatientsError(
            "expected images of one patient, got those of several (or of one under two names)"
        )
    uids = list(dict.fromkeys(file.series_uid for file in files))
    series = [Series(tuple(file for file in files if file.series_uid == uid)) for uid in uids]
    if series_uid is not None:
        asked = [one for one in series if one.uid == series_uid]
        if not asked:
            raise SeriesUnknownError(
                f"expected the series that its UID names, got {_listed(series)}", _choosable(series)
            )
        return asked[0], ()
    if len(series) == 1:
        return series[0], ()
    meant = [one for one in series if one.slices >= FEWEST_SLICES and one.is_t1 and one.has_agent]
    if len(meant) != 1:
        raise SeriesUnclearError(
            f"expected one T1 series with contrast agent, got {_listed(series)}; "
            "send one of them alone, or name it by its UID",
            _choosable(series),
        )
    return meant[0], (f"Of {len(series)} series, {meant[0].named} was segmented.",)


def _choosable(series: Sequence[Series]) -> list[FoundSeries]:
    """Those that can be named: a damaged UID cannot."""
    return [one.found for one in _shown(series) if len(one.uid) <= LONGEST_UID and re.match(SERIES_UID, one.uid)]


def _shown(series: Sequence[Series]) -> list[Series]:
    return sorted(series, key=lambda one: one.files[0].series_number or 0)[:MOST_LISTED]


def _listed(series: Sequence[Series]) -> str:
    shown = _shown(series)
    more = f" and {len(series) - len(shown)} more" if len(series) > len(shown) else ""
    return f"{len(series)} series: {', '.join(one.named for one in shown)}{more}"
