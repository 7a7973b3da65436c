"""Tells from a header what an MR series shows: its weighting, if it is a reformat, if an agent was given.

What scanners code decides before what people write: image type, then sequence type and times, then the words of
SeriesDescription, ProtocolName and SequenceName. Only what marks an image as computed from others, such as
"subtraction", counts before the times, which such an image inherits. Free text is matched against known words and
never repeated, as it may hold anything. `benchmarks/inputs/series_names.csv` lists names that scanners write.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

LONGEST_SHORT_ECHO_MS: Final = 40.0
"""T2 weighting, FLAIR included, echoes later; turbo spin echoes of T1 weighting reach 30 ms."""
LONGEST_GRADIENT_ECHO_MS: Final = 12.0
"""Gradient echoes from here on show susceptibility: T2*, SWI, perfusion, BOLD."""
LONGEST_T1_REPETITION_MS: Final = 1200.0
T1_INVERSION_MS: Final = (300.0, 1400.0)
"""Inversion times of T1-weighted series. Below, fat is nulled (STIR), above, fluid (FLAIR)."""

MADE_TYPES: Final = re.compile(
    r"localizer|\badc\b|diffusion|tracew?\b|\bfa\b|perfusion|\b(?:rel)?cb[vf]\b|\bmtt\b|\bttp\b|subtract|\bsub\b|\bmip\b|"
    r"\bminip\b|\bmin\b|projection|\bphase\b|\bp\b|\bswi\b|\bt[12] ?(?:star )?map|\basl\b|fmri|velocity|screen|"
    r"\bfat\b|\bb0\b"
)
"""Of ImageType: what is no anatomical image."""
MADE_WORDS: Final = re.compile(
    r"\bloc\b|locator|locali[sz]er|scout|survey|smartbrain|calib|\bref scan|\bsub\b(?!-\d)|subtract|"
    r"\bm(?:in)?ip\b|\bmaps?\b|\bmask\b|\bpha\b|phase (?:map|contrast|diff)|\bb[01]\b|"
    r"field ?map|spectro|\bpress\b|\binv-?[12]\b|\bt1 images\b|\bd?adc\b|\bfa\b|\bcb[vf]\b|^fat:"
)
"""Of free texts: what is made of other images, serves to plan them, or holds none."""
OTHER_WORDS: Final = re.compile(
    r"t2|flair|dark-?fluid|stir|tirm|dwi|dti|diff|trace|swi|swan|venobold|\bpd|proton|tof\b|angio|\bmra\b|"
    r"inhance|\bperf|\bdsc\b|\bdce\b|twist|tricks|\bp?casl\b|\basl\b|bold|fmri|\bep2d|\bepi\b|\bep b\d|ciss|"
    r"fiesta|\bdrive\b|\bfsbb\b|3di mc|medic|\bmerge\b"
)
T1_WORDS: Final = re.compile(r"t1|mp-?rage|mp2rage|spgr|bravo|vibe|thrive|flash|tfe\b|\blava|tfl3d")
OTHER_THAN_FLUID: Final = re.compile(r"flair|dark-?fluid|tirm")
"""Names of fluid-attenuated sequences, which vendors use for T1-weighted inversion recovery, too ("T1 FLAIR")."""
REFORMAT_TYPES: Final = re.compile(r"\bmpr\b|reformat|\bcurved\b")
REFORMAT_WORDS: Final = re.compile(
    r"reformat|\brfmt\b|^mpr\b|\bmpr (?:cor|sag|tra|ax)\w*$|[a-z0-9] mpr$|\bmpr range|\bmpr thick"
)
MPRAGE_AS_MPR: Final = re.compile(r"^(?:wip )?(?:sag |ax |cor |tra )?(?:3d )?t1w? ?mpr(?! range)")
"""Siemens calls MPRAGE `t1_mpr_…`: its "mpr" is no multiplanar reformat."""

CONTRAST_WORDS: Final = (
    r"(?:contrast|contraste|gad\w*|gd|km|mdc|iv|c|ce|enhanced)"  # of English, German, Italian and Spanish
)
AGENT_WORDS: Final = re.compile(
    r"\bgd|\+ ?gd|gado|gadavist|dota|magnevist|prohance|clariscan|post(?!erior|[ -]?op)|contrast|enhanced|\bce\b|"
    r"\bc\+|\+ ?c\b|[a-z0-9] c$|\+ ?km|\bkm\b|\bmdc\b|t1w?-?ce?\b"
)
NO_AGENT_WORDS: Final = re.compile(
    rf"\bpre(?![a-z])|\bpre{CONTRAST_WORDS}\b|nativ|without(?! fat| fs)|w/o(?! fat| fs)|ohne|senza|\bsin contr|"
    rf"\bsans|\bnon?[ -]?{CONTRAST_WORDS}\b|plain|unenh|(?<!post)-c\b|\bc-(?!spine)"
)
NO_AGENT: Final = re.compile(r"^(?:n/?a|nil|0|-+)$|^non?\b|^none\b|without|nativ|ohne|not given")
"""Of ContrastBolusAgent, in which some write that there was none."""


class Weighting(StrEnum):
    """What tissue looks like in a series."""

    T1 = "T1"
    OTHER = "other"
    UNKNOWN = "unknown"


def weighting_of(texts: Mapping[str, str], times_ms: Mapping[str, float]) -> Weighting:
    """Tell the weighting.

    Args:
        texts: By keyword, in lower case, with blanks for underscores; see `dicom_headers.TEXTS`.
        times_ms: By keyword; see `dicom_headers.TIMES`.

    Returns:
        `OTHER` also for what is no anatomical image: localizers, maps, subtractions, projections.
    """
    words = _words(texts)
    if MADE_TYPES.search(texts["ImageType"]) or MADE_WORDS.search(words):
        return Weighting.OTHER
    coded = texts["AcquisitionContrast"].strip()
    if coded and coded not in ("unknown", "mixed"):
        return Weighting.T1 if coded == "t1" else Weighting.OTHER
    by_times = _by_sequence(texts, times_ms)
    return by_times if by_times is not Weighting.UNKNOWN else _by_words(words, times_ms)


def is_reformat(texts: Mapping[str, str]) -> bool:
    """Return whether a series was resampled from another one."""
    if REFORMAT_TYPES.search(texts["ImageType"]):
        return True
    words = MPRAGE_AS_MPR.sub("", texts["SeriesDescription"])
    return "original" not in texts["ImageType"] and bool(REFORMAT_WORDS.search(words))


def has_agent(texts: Mapping[str, str]) -> bool | None:
    """Return whether a contrast agent was given; None where the header does not tell."""
    agent = texts["ContrastBolusAgent"].strip()
    words = f"{texts['SeriesDescription']} | {texts['ProtocolName']}"
    if NO_AGENT.search(agent) or any(NO_AGENT_WORDS.search(part) for part in words.split(" | ")):
        return False
    return True if agent or any(AGENT_WORDS.search(part) for part in words.split(" | ")) else None


def _words(texts: Mapping[str, str]) -> str:
    names = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    return " | ".join(texts[name] for name in names)


def _by_sequence(texts: Mapping[str, str], times_ms: Mapping[str, float]) -> Weighting:
    """By the type of the sequence and its times, where they leave no doubt."""
    sequence = set(texts["ScanningSequence"].split())
    is_spin = "se" in sequence or texts["EchoPulseSequence"] == "spin"
    is_gradient = not is_spin and ("gr" in sequence or texts["EchoPulseSequence"] == "gradient")
    if "ep" in sequence or texts["EchoPlanarPulseSequence"] == "yes":
        return Weighting.OTHER
    echo_ms, repetition_ms = times_ms.get("EchoTime"), times_ms.get("RepetitionTime")
    if not echo_ms or not repetition_ms:
        return Weighting.UNKNOWN
    if echo_ms > LONGEST_SHORT_ECHO_MS or (is_gradient and echo_ms > LONGEST_GRADIENT_ECHO_MS):
        return Weighting.OTHER
    inversion_ms = times_ms.get("InversionTime", 0.0)
    if inversion_ms and (is_spin or is_gradient):
        is_t1 = T1_INVERSION_MS[0] <= inversion_ms <= T1_INVERSION_MS[1]
        return Weighting.T1 if is_t1 else Weighting.OTHER if is_spin else Weighting.UNKNOWN
    return Weighting.T1 if is_spin and repetition_ms <= LONGEST_T1_REPETITION_MS else Weighting.UNKNOWN


def _by_words(words: str, times_ms: Mapping[str, float]) -> Weighting:
    """By words, and where none is known, by times that T1 weighting usually has."""
    is_t1 = bool(T1_WORDS.search(words))
    others = OTHER_THAN_FLUID.sub("", words) if re.search(r"t1(?!.*t2)", words) else words
    if OTHER_WORDS.search(others):
        return Weighting.OTHER
    if is_t1:
        return Weighting.T1
    echo_ms, repetition_ms = times_ms.get("EchoTime"), times_ms.get("RepetitionTime")
    if not echo_ms or not repetition_ms or echo_ms > LONGEST_GRADIENT_ECHO_MS:
        return Weighting.UNKNOWN
    is_short = repetition_ms <= LONGEST_T1_REPETITION_MS or "InversionTime" in times_ms
    return Weighting.T1 if is_short else Weighting.UNKNOWN
