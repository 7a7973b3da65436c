"""By what a DICOM file is known, without loading anything that reads one."""

import struct
from pathlib import Path
from typing import Final

PREFIX: Final = b"DICM"
PREFIX_AT: Final = 128
"""PS3.10, section 7.1."""
META_GROUP: Final = 0x0002
FIRST_ELEMENTS: Final = {META_GROUP: 0x0010, 0x0008: 0x0018}
"""With which elements, by group and up to which number, a file begins that has no preamble."""
FIRST_VRS: Final = (b"CS", b"DA", b"OB", b"TM", b"UI", b"UL")
"""Value representations of these elements."""
LONGEST_FIRST_VALUE: Final = 256


def is_dicom(path: Path) -> bool:
    """Return whether a file has the prefix of a DICOM file, or begins as a data set without one does."""
    with path.open("rb") as file:
        start = file.read(PREFIX_AT + len(PREFIX))
    return start[PREFIX_AT:] == PREFIX or _begins_a_data_set(start)


def _begins_a_data_set(start: bytes) -> bool:
    if len(start) < 8:
        return False
    group, element, length = struct.unpack("<HHI", start[:8])
    if element > FIRST_ELEMENTS.get(group, -1):
        return False
    return start[4:6] in FIRST_VRS or (group != META_GROUP and length <= LONGEST_FIRST_VALUE)
