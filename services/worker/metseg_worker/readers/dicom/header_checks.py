"""What the header of a series says against segmenting it, or against trusting what comes of it."""

import re
from typing import Final

from metseg.errors import WrongBodyPartError
from metseg_worker.readers.dicom.series import Series
from metseg_worker.readers.dicom.weighting import Weighting

HEAD: Final = re.compile(r"head|brain|skull|neuro|crani|cereb")
ELSEWHERE: Final = re.compile(
    r"abdomen|pelvis|chest|thorax|breast|heart|spine|liver|kidney|prostate|uterus|shoulder|elbow|wrist|hand|hip|knee|"
    r"ankle|foot|extremity|femur|neck|wholebody"
)
"""Among the terms of PS3.16, annex L, those that a scanner writes where it did not look at a head."""


def check_series(series: Series) -> tuple[str, ...]:
    """Sentences for the report on what a reader should know of the series.

    Raises:
        WrongBodyPartError: the header names a part of the body that is not the head.
    """
    part = series.texts["BodyPartExamined"]
    found = ELSEWHERE.search(part)
    if found and not HEAD.search(part):
        raise WrongBodyPartError(f"expected images of a head, but the header says that they show: {found[0]}")
    warnings = []
    if series.weighting is Weighting.OTHER:
        warnings.append(
            "The header tells of another contrast than T1 (T2 or FLAIR, say) or of images computed from others, "
            "on which the model was not trained."
        )
    if series.has_agent is False:
        warnings.append("The header says that no contrast agent was given: lesions that enhance cannot be seen.")
    elif series.has_agent is None and series.weighting is not Weighting.OTHER:
        warnings.append(
            "The header names no contrast agent. Was one given? Without it, lesions that enhance cannot be seen."
        )
    return tuple(warnings)
