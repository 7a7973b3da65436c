"""Forms of single fields that schemas and the form of an upload share."""

from typing import Annotated

from pydantic import Field

SERIES_UID = r"^[0-9]+(\.[0-9]+)*$"
"""The form of a DICOM UID (PS3.5, section 9)."""

LABEL = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
"""A line without control characters, and without spaces at its ends."""
MOST_LABEL = 80

PixelSpacing = Annotated[float, Field(ge=0.01, le=20)]
